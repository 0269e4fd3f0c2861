"""Data classes whose definition costs little are used like those of the standard library."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import TYPE_CHECKING, Any

import pytest

from cm4storage.core import records
from cm4storage.core.records import asdict, dataclass, field, names_of, replace

if TYPE_CHECKING:
    from types import ModuleType


@dataclass(frozen=True)
class Point:
    """A place with a name."""

    x: int
    y: int = field(default=2, metadata={"unit": "m"})
    tags: list[str] = field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Standard:
    """The same in the standard library."""

    x: int
    y: int = dataclasses.field(default=2, metadata={"unit": "m"})
    tags: list[str] = dataclasses.field(default_factory=list)


@pytest.mark.parametrize(
    ("args", "given"),
    [
        ((1,), {}),
        ((1, 3), {}),
        ((1, 3, ["a"]), {}),
        ((), {"x": 1, "tags": ["b"]}),
        ((1,), {"y": 5}),
    ],
)
def test_instances_have_what_the_standard_library_gives_them(args, given):
    ours, theirs = Point(*args, **given), Standard(*args, **given)
    assert vars(ours) == asdict(ours) == vars(theirs)
    assert ours == Point(*args, **given)
    assert ours != Point(9)
    assert ours != theirs
    for of_class in (dataclasses.asdict, dataclasses.astuple):
        assert of_class(ours) == of_class(theirs)
    assert vars(dataclasses.replace(ours, x=7)) == vars(dataclasses.replace(theirs, x=7))
    assert replace(ours, x=7) == dataclasses.replace(ours, x=7)
    assert pickle.loads(pickle.dumps(ours)) == copy.deepcopy(ours) == ours


def test_the_functions_of_the_standard_library_find_the_fields():
    assert dataclasses.is_dataclass(Point)
    for ours, theirs in zip(dataclasses.fields(Point), dataclasses.fields(Standard), strict=True):
        assert (ours.name, ours.type, ours.default) == (theirs.name, theirs.type, theirs.default)
        assert (ours.default_factory, ours.metadata) == (theirs.default_factory, theirs.metadata)
    assert names_of(Point) == names_of(Point(1)) == ("x", "y", "tags")


def test_an_instance_shows_what_is_short_and_what_is_within():
    @dataclass(frozen=True)
    class Line:
        start: Point
        end: Point | None
        of: dict[str, str]

    shown = "Line(start=Point(x=1, y=2), end=None)"
    assert repr(Line(Point(1), None, {"key": "secret"})).rpartition(".")[2] == shown


@pytest.mark.parametrize("args", [(), (1, 2, [], 4)])
def test_fields_that_are_missing_or_too_many_are_named(args):
    with pytest.raises(TypeError, match=r"Point: fields missing or unknown: (\['x'\]|\(4,\))"):
        Point(*args)
    with pytest.raises(TypeError, match=r"unknown: \['z'\]"):
        Point(1, z=3)


def make(kind: ModuleType) -> tuple[Any, Any]:
    @kind.dataclass(frozen=True)
    class Point:
        x: int
        y: int = 2
        names: tuple[str, ...] = ()

    @kind.dataclass
    class Box:
        size: int
        items: list[int] = kind.field(default_factory=list)

    return Point, Box


@pytest.fixture(params=[records, dataclasses], ids=["ours", "standard"])
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_defaults_positions_and_names(kind: ModuleType) -> None:
    point, _ = make(kind)
    assert (point.y, point.names) == (2, ())
    made = point(1, names=("a",))
    assert (made.x, made.y, made.names) == (1, 2, ("a",))
    assert made == point(names=("a",), y=2, x=1)
    assert made != point(1)
    assert made != "something else"
    assert len({point(1), point(1), point(2)}) == 2
    assert repr(made).endswith("Point(x=1, y=2, names=('a',))")


def test_a_frozen_one_cannot_be_changed(kind: ModuleType) -> None:
    point, _ = make(kind)
    made = point(1)
    with pytest.raises(AttributeError, match="x"):
        made.x = 2
    with pytest.raises(AttributeError, match="x"):
        del made.x
    assert made.x == 1


def test_others_can_be_changed_and_share_nothing(kind: ModuleType) -> None:
    _, box = make(kind)
    first, second = box(1), box(size=2)
    first.items.append(7)
    first.size = 5
    assert (first.size, first.items, second.items) == (5, [7], [])
    with pytest.raises(TypeError, match="unhashable"):
        hash(first)


def test_replace_and_asdict(kind: ModuleType) -> None:
    point, _ = make(kind)
    made = kind.replace(point(1), y=9)
    assert kind.asdict(made) == {"x": 1, "y": 9, "names": ()}
    with pytest.raises(TypeError, match="z"):
        kind.replace(made, z=1)


@pytest.mark.parametrize(("args", "given"), [((), {}), ((1, 2, (), 4), {}), ((1,), {"z": 1})])
def test_wrong_calls_are_refused(
    kind: ModuleType, args: tuple[Any, ...], given: dict[str, Any]
) -> None:
    point, _ = make(kind)
    with pytest.raises(TypeError, match="Point"):
        point(*args, **given)

"""The quick data classes behave like those of the standard library, as far as they go."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from cm4storage.core import records

if TYPE_CHECKING:
    from types import ModuleType


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

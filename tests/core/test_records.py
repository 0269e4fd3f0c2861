"""Data classes whose definition costs little are used like those of the standard library."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import pytest

from cm4storage.core.records import asdict, dataclass, field, names_of, replace


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


def test_each_instance_has_its_own_value_of_a_factory():
    first, second = Point(1), Point(1)
    first.tags.append("mine")
    assert second.tags == []


def test_frozen_instances_do_not_change_and_can_be_keys():
    @dataclass(frozen=True)
    class Key:
        name: str

    key = Key("a")
    assert {key: 1}[Key("a")] == 1
    with pytest.raises(AttributeError, match=r"Key\.name cannot be changed"):
        key.name = "b"
    with pytest.raises(AttributeError, match=r"Key\.name cannot be changed"):
        del key.name


@pytest.mark.parametrize("args", [(), (1, 2, [], 4)])
def test_fields_that_are_missing_or_too_many_are_named(args):
    with pytest.raises(TypeError, match=r"Point: fields missing or unknown: (\['x'\]|\(4,\))"):
        Point(*args)
    with pytest.raises(TypeError, match=r"unknown: \['z'\]"):
        Point(1, z=3)

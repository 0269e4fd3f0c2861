"""Key order from listings that walk a tree."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cm4storage.storage.objects.ordering import in_key_order
from cm4storage.storage.store import ObjectStat

PARTS = st.text(alphabet=" !-./0a", min_size=1, max_size=3).map(lambda text: text.replace("/", "_"))
KEYS = st.lists(st.lists(PARTS, min_size=1, max_size=4).map("/".join), unique=True, max_size=30)


def as_a_tree(keys: list[str]) -> list[str]:
    return sorted(keys, key=lambda key: key.split("/"))


@given(KEYS)
def test_any_tree_order_becomes_key_order(keys: list[str]) -> None:
    found = [ObjectStat(key, 1) for key in as_a_tree(keys)]
    assert [item.key for item in in_key_order(found, "")] == sorted(keys)


@given(KEYS)
def test_key_order_stays(keys: list[str]) -> None:
    found = [ObjectStat(f"top/{key}", 1) for key in sorted(keys)]
    assert list(in_key_order(found, "top/")) == found


def test_objects_directly_in_the_folder_are_not_held_back() -> None:
    taken: list[str] = []

    def found() -> list[ObjectStat]:
        for number in range(100):
            taken.append(f"folder/{number:03}")
            yield ObjectStat(taken[-1], 1)

    ordered = in_key_order(found(), "folder/")
    assert next(ordered).key == "folder/000"
    assert len(taken) == 1

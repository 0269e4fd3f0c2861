"""Open a data set that other software made, such as DLIO: a folder without a manifest of ours.

Nothing is written into it. Names and number of the files must be those of the Plan, which are
DLIO's own; that the contents are what the workload says is found out while reading, since each
format checks its files and the reader checks the size of every sample. There are no digests.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import UserError
from cm4storage.dataset.digests import open_to_read
from cm4storage.storage.page_cache import LocalFiles
from cm4storage.storage.store import MissingObject
from cm4storage.workload.plan import Plan, Split

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cm4storage.storage.location import StoreLocation
    from cm4storage.storage.store import ObjectStat, Store
    from cm4storage.workload.model import Workload

_SHOWN = 3


@dataclass(frozen=True)
class ForeignFiles:
    """What a listing says of the files that the workload needs.

    Attributes
    ----------
    files, total_bytes : int
        How many there are, and the sum of their sizes.
    """

    files: int
    total_bytes: int


@dataclass(frozen=True)
class OpenForeignDataset:
    """A data set of others: the store at its root, and what was listed there."""

    store: Store
    listed: ForeignFiles

    def describe(self) -> dict[str, Any]:
        """Return what a run records of its data set."""
        return {"foreign": True, **asdict(self.listed)}


@contextmanager
def open_foreign(workload: Workload, location: StoreLocation) -> Iterator[OpenForeignDataset]:
    """Open the data set of `workload` whose folders ``train`` and ``valid`` are at `location`.

    Other files there are ignored, as indexes and a data set of other names may lie beside it.

    Raises
    ------
    UserError
        If a file that the workload needs is missing or empty.
    StorageFault
        If the storage fails.
    """
    with open_to_read(workload, location) as store:
        listed, wrong = _listed(workload, store)
        if wrong:
            raise _not_there(store, wrong)
        yield OpenForeignDataset(store, listed)


@contextmanager
def open_foreign_in_part(
    workload: Workload, location: StoreLocation
) -> Iterator[OpenForeignDataset]:
    """Open a data set as `open_foreign` does, but let files be missing or empty, if not all are.

    Raises
    ------
    UserError
        If no file that the workload needs is there.
    StorageFault
        If the storage fails.
    """
    with open_to_read(workload, location) as store:
        listed, wrong = _listed(workload, store)
        if not listed.files:
            raise _not_there(store, wrong)
        yield OpenForeignDataset(store, listed)


def _listed(workload: Workload, store: Store) -> tuple[ForeignFiles, list[str]]:
    """Return what there is, and the first files that are wrong."""
    files, total_bytes = 0, 0
    wrong: list[str] = []
    for key, size_bytes in _sizes(workload, store):
        if size_bytes:
            files, total_bytes = files + 1, total_bytes + size_bytes
        elif len(wrong) <= _SHOWN:
            wrong.append(f"{key}: {'missing' if size_bytes is None else 'empty'}")
    return ForeignFiles(files, total_bytes), wrong


def _sizes(workload: Workload, store: Store) -> Iterator[tuple[str, int | None]]:
    """Yield the planned files with their sizes, None for what is not there; nothing is held."""
    splits = [Split.TRAIN, *([Split.EVAL] if workload.workflow.evaluation else [])]
    if isinstance(store, LocalFiles):  # to list a folder in order takes memory for all its names
        for planned in Plan.of(workload).files():
            if planned.split in splits:
                yield planned.key, _size(store, planned.key)
        return
    yield from _listed_sizes(workload, store, splits)


def _size(store: Store, key: str) -> int | None:
    try:
        return store.stat(key).size_bytes
    except MissingObject:
        return None


def _listed_sizes(
    workload: Workload, store: Store, splits: list[Split]
) -> Iterator[tuple[str, int | None]]:
    listed: Iterator[ObjectStat] = (each for s in splits for each in store.list(f"{s.value}/"))
    found = next(listed, None)
    for planned in Plan.of(workload).files():
        if planned.split not in splits:
            continue
        while found is not None and found.key < planned.key:
            found = next(listed, None)
        is_there = found is not None and found.key == planned.key
        yield planned.key, found.size_bytes if found is not None and is_there else None


def _not_there(store: Store, wrong: list[str]) -> UserError:
    there = [stat.key for stat in islice(store.list(f"{Split.TRAIN.value}/"), 1)]
    more = "\nand more" if len(wrong) > _SHOWN else ""
    names = "\n".join(wrong[:_SHOWN])
    return UserError(
        "the folder does not hold the data set of this workload",
        where=f"{store.uri}\n{names}{more}",
        meaning=f"the first file there is {there[0]}" if there else "there is no file in train",
        advice="name the folder that holds train, and give the workload the data set's format, "
        "num_files_train, num_subfolders_train and file_prefix",
    )

"""Everything that a data set consists of, in the order of keys, and what of it is there already."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cm4storage.core.errors import InternalError
from cm4storage.formats.format import FileShape, HasCompanions
from cm4storage.workload.plan import Split

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cm4storage.dataset.manifest import FileEntry
    from cm4storage.formats.format import Companion, Format
    from cm4storage.storage.store import ObjectStat, Store
    from cm4storage.workload.plan import Plan, PlannedFile

COMPANION_FOLDER: Final = "index"
"""The one folder beside those of the splits in which files of a data set may be."""

DATASET_THREADS: Final = max(2, min(16, os.cpu_count() or 2))
"""How many files are made or read at a time, unless the user says otherwise."""

FOLDERS: Final = tuple(sorted([COMPANION_FOLDER, *(split.value for split in Split)]))


@dataclass(frozen=True, slots=True)
class Output:
    """One object of a data set.

    Attributes
    ----------
    key : str
    file : PlannedFile
        The data file that it is, or belongs to.
    shape : FileShape
        That of the data file.
    content : bytes or None
        The bytes of a companion; those of a data file are computed when it is written.
    """

    key: str
    file: PlannedFile
    shape: FileShape
    content: bytes | None = None


@dataclass(frozen=True)
class Extent:
    """How large a data set will be.

    Attributes
    ----------
    files, total_bytes : int
        With companions. The bytes are exact to some bytes a file where the format says its sizes
        beforehand; else they are what the largest such files may take. Beyond a million files of
        varying sizes they are an estimate; see `Plan.payload_bytes`.
    """

    files: int
    total_bytes: int

    @classmethod
    def of(cls, plan: Plan, file_format: Format) -> Extent:
        """Compute it from the first file."""
        files = sum(plan.count(split) for split in Split)
        first = next(plan.files())
        shape = shape_of(first, plan)
        companions = list(_companions(first, plan, file_format))
        overhead_bytes = file_format.file_bytes(shape) - shape.record_bytes * shape.samples
        overhead_bytes += sum(len(companion.content) for companion in companions)
        return cls(files * (1 + len(companions)), plan.payload_bytes() + files * overhead_bytes)


def shape_of(file: PlannedFile, plan: Plan) -> FileShape:
    """Return what a file of the plan holds."""
    return FileShape(file.record_shape, file.samples, plan.dataset.element_type)


def outputs(plan: Plan, file_format: Format) -> Iterator[Output]:
    """Yield all objects of a data set in the order of keys.

    Raises
    ------
    InternalError
        If a format names companions that are out of order.
    """
    last = ""
    for output in _outputs(plan, file_format):
        if output.key <= last:
            raise InternalError(f"{output.key} does not come after {last}")
        last = output.key
        yield output


def _outputs(plan: Plan, file_format: Format) -> Iterator[Output]:
    first_file = next(plan.files())
    first = list(_companions(first_file, plan, file_format))
    ahead = [companion.key for companion in first if _is_ahead(companion.key)]
    if ahead:
        folder = f"{COMPANION_FOLDER}/{first_file.key.rpartition('/')[0]}/"
        has_subfolders = ahead[0].startswith(folder)
        for file in plan.files() if has_subfolders else plan.files_by_number():
            yield from _companion_outputs(file, plan, file_format, ahead=True)
    has_neighbours = any(not _is_ahead(companion.key) for companion in first)
    for file in plan.files():
        yield Output(file.key, file, shape_of(file, plan))
        if has_neighbours:
            yield from _companion_outputs(file, plan, file_format, ahead=False)


def _companion_outputs(
    file: PlannedFile, plan: Plan, file_format: Format, *, ahead: bool
) -> Iterator[Output]:
    for companion in sorted(_companions(file, plan, file_format), key=lambda each: each.key):
        if _is_ahead(companion.key) is ahead:
            yield Output(companion.key, file, shape_of(file, plan), companion.content)


def _companions(file: PlannedFile, plan: Plan, file_format: Format) -> Iterable[Companion]:
    if not isinstance(file_format, HasCompanions):
        return ()
    return file_format.companions(file.key, shape_of(file, plan))


def _is_ahead(key: str) -> bool:
    """Tell whether a companion comes before all data files; the others come after their own."""
    return key.startswith(f"{COMPANION_FOLDER}/")


def listed(store: Store) -> Iterator[ObjectStat]:
    """Yield all objects in a data set's folders, in the order of keys."""
    for folder in FOLDERS:
        yield from store.list(f"{folder}/")


def still_there(store: Store, entries: Iterator[FileEntry]) -> Iterator[FileEntry]:
    """Yield those of `entries`, in the order of keys, that are listed with their size."""
    found = listed(store)
    stat = next(found, None)
    for entry in entries:
        while stat is not None and stat.key < entry.key:
            stat = next(found, None)
        if stat is None:
            return
        if (stat.key, stat.size_bytes) == (entry.key, entry.size_bytes):
            yield entry


class InOrder:
    """Entries that are asked for in the order of keys."""

    def __init__(self, entries: Iterator[FileEntry]) -> None:
        self._entries = entries
        self._next = next(entries, None)

    def find(self, key: str) -> FileEntry | None:
        """Return the entry of `key`, which comes after all keys that were asked for before."""
        while self._next is not None and self._next.key < key:
            self._next = next(self._entries, None)
        return self._next if self._next is not None and self._next.key == key else None

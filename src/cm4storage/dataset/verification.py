"""Check that a data set is there: names and sizes before it is used, contents on request."""

from __future__ import annotations

import enum
import re
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Final

from cm4storage.core.errors import StorageFault, UserError
from cm4storage.core.records import dataclass
from cm4storage.core.units import MIB
from cm4storage.core.waiting import result_of
from cm4storage.dataset import manifest as manifests
from cm4storage.dataset.outputs import listed
from cm4storage.storage.page_cache import LocalFiles
from cm4storage.storage.store import MissingObject

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Future

    from cm4storage.core.progress import Progress
    from cm4storage.dataset.manifest import FileEntry, Manifest
    from cm4storage.storage.store import Store

_SHOWN: Final = 3
_RANGE_BYTES: Final = 8 * MIB
_UNDER_WAY: Final = 4
_SAMPLE: Final = re.compile(r"(?P<number>\d{1,18}(?:\.\d{1,9})?)(?P<percent>%?)")


class Kind(enum.Enum):
    """What can be wrong with a file."""

    MISSING = "missing"
    SIZE = "size"
    FOREIGN = "foreign"
    UNREADABLE = "unreadable"
    CONTENT = "content"
    MANIFEST = "manifest"


@dataclass(frozen=True)
class Problem:
    """One file that is not as the manifest says."""

    key: str
    what: str
    kind: Kind


@dataclass(frozen=True)
class Sample:
    """A random part of a data set.

    Attributes
    ----------
    count : int
        How many files.
    seed : int
        The same seed chooses the same files of a data set.
    """

    count: int
    seed: int

    @classmethod
    def parse(cls, text: str, files: int, seed: int) -> Sample:
        """Read what a user wrote: a number of files such as ``50``, or a share such as ``5%``.

        Raises
        ------
        UserError
            If it is neither, or none of the files.
        """
        found = _SAMPLE.fullmatch(text)
        number = float(found["number"]) if found else 0.0
        is_share = bool(found and found["percent"])
        if number <= 0 or (is_share and number > 100) or not (is_share or number.is_integer()):
            raise UserError(
                f"{text!r} is no sample",
                where="--sample",
                advice="give a number of files such as 50, or a share such as 5%",
            )
        count = max(1, round(files * number / 100)) if is_share else int(number)
        return cls(min(count, files), seed)

    def choose(self, entries: Iterable[FileEntry], files: int) -> Iterator[FileEntry]:
        """Yield `count` of the `files` entries, each choice equally likely, without holding them.

        Source: Knuth, The Art of Computer Programming, volume 2, 3.4.2, algorithm S.
        """
        import random

        generator = random.Random(self.seed)
        wanted = self.count
        for left, entry in zip(range(files, 0, -1), entries, strict=False):
            if generator.random() * left < wanted:
                wanted -= 1
                yield entry


def differences(store: Store, manifest: Manifest) -> Iterator[Problem]:
    """Yield the files that are missing, have another size or are not in the manifest, in order.

    Contents are not read: that would warm the cache that is about to be measured.
    """
    found = listed(store)
    stat = next(found, None)
    count = 0
    for entry in manifests.read_files(store, manifest):
        count += 1
        while stat is not None and stat.key < entry.key:
            yield _foreign(stat.key)
            stat = next(found, None)
        if stat is None or stat.key != entry.key:
            yield Problem(entry.key, "missing", Kind.MISSING)
            continue
        yield from _of_other_size(entry, stat.size_bytes)
        stat = next(found, None)
    yield from _of_other_length(manifest, count)
    if stat is not None:
        yield _foreign(stat.key)
    yield from (_foreign(other.key) for other in found)


def _foreign(key: str) -> Problem:
    return Problem(key, "foreign: the manifest does not list it", Kind.FOREIGN)


def problems(store: Store, manifest: Manifest) -> Iterator[Problem]:
    """Yield what keeps the data set from being used: `differences` without foreign files.

    Local files are looked at one by one: to list a folder in order takes memory for all its names.
    """
    if not isinstance(store, LocalFiles):
        return (each for each in differences(store, manifest) if each.kind is not Kind.FOREIGN)
    return _problems_by_stat(store, manifest)


def _problems_by_stat(store: Store, manifest: Manifest) -> Iterator[Problem]:
    count = 0
    for entry in manifests.read_files(store, manifest):
        count += 1
        try:
            size_bytes = store.stat(entry.key).size_bytes
        except MissingObject:
            yield Problem(entry.key, "missing", Kind.MISSING)
            continue
        yield from _of_other_size(entry, size_bytes)
    yield from _of_other_length(manifest, count)


def _of_other_size(entry: FileEntry, size_bytes: int) -> Iterator[Problem]:
    if size_bytes != entry.size_bytes:
        what = f"{size_bytes} bytes instead of {entry.size_bytes}"
        yield Problem(entry.key, what, Kind.SIZE)


def _of_other_length(manifest: Manifest, count: int) -> Iterator[Problem]:
    if count != manifest.files:
        what = f"{count} lines instead of {manifest.files}"
        yield Problem(manifests.FILES_KEY, what, Kind.MANIFEST)


def require_complete(store: Store, manifest: Manifest) -> None:
    """Check existence and size of every file.

    Raises
    ------
    StorageFault
        Naming the first files that are wrong.
    """
    wrong = list(islice(problems(store, manifest), _SHOWN + 1))
    if wrong:
        names = "\n".join(f"{problem.key}: {problem.what}" for problem in wrong[:_SHOWN])
        more = "\nand more" if len(wrong) > _SHOWN else ""
        raise StorageFault(
            "the data set is not as its manifest says",
            where=f"{store.uri}\n{names}{more}",
            meaning="files were removed or changed after the data set was generated",
            advice="repair it: cm4storage generate, with the same --workload and --data_dir",
        )


class ContentCheck:
    """Reads files and compares their digests with those of the manifest.

    Parameters
    ----------
    store : Store
    progress : Progress
        Is advanced by the bytes read; the caller starts and finishes it.
    threads : int
        How many files are read at a time.

    Attributes
    ----------
    files, read_bytes : int
        What was read so far.
    """

    def __init__(self, store: Store, progress: Progress, threads: int) -> None:
        self._store, self._progress, self._threads = store, progress, threads
        self.files = self.read_bytes = 0

    def damaged(self, entries: Iterable[FileEntry]) -> Iterator[Problem]:
        """Yield those of `entries` whose bytes are not as generated, or that cannot be read.

        Files that are missing or have another size are left to `differences`.

        Raises
        ------
        StorageFault
            If the storage itself fails, not one file.
        """
        from concurrent.futures import ThreadPoolExecutor  # names and sizes need no threads

        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="verify")
        under_way: deque[tuple[FileEntry, Future[Problem | None]]] = deque()

        def finished() -> Iterator[Problem]:
            entry, future = under_way.popleft()
            problem = result_of(future)
            self.files += 1
            self.read_bytes += entry.size_bytes
            if problem is not None:
                yield problem

        try:
            for entry in entries:
                if len(under_way) >= _UNDER_WAY * self._threads:
                    yield from finished()
                under_way.append((entry, pool.submit(self._check, entry)))
            while under_way:
                yield from finished()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _check(self, entry: FileEntry) -> Problem | None:
        try:
            digest, size_bytes = self._digest(entry)
        except MissingObject:
            return None
        except StorageFault as fault:
            self._store.stat(entry.key)  # raises where the storage itself has failed
            return Problem(entry.key, f"unreadable: {fault.what}", Kind.UNREADABLE)
        if size_bytes != entry.size_bytes or digest == entry.digest:
            return None
        return Problem(entry.key, "its bytes differ from those that were generated", Kind.CONTENT)

    def _digest(self, entry: FileEntry) -> tuple[str, int]:
        import xxhash

        hasher, size_bytes = xxhash.xxh3_128(), 0
        for start in range(0, max(1, entry.size_bytes), _RANGE_BYTES):
            with self._store.read(entry.key, start=start, length=_RANGE_BYTES) as view:
                hasher.update(view)
                size_bytes += len(view)
                self._progress.advance(len(view))
        return hasher.hexdigest(), size_bytes

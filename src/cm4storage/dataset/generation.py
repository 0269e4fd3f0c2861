"""Generate a data set: what is missing of it, in parallel, each file atomically, the manifest last.

What was finished before an abort is known from a journal beside the data; see `journal`.
"""

from __future__ import annotations

import heapq
from collections import deque
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from datetime import datetime
from operator import attrgetter
from threading import Event, local
from typing import TYPE_CHECKING

from cm4storage.core.errors import StorageFault
from cm4storage.core.units import MIB, format_bytes, format_count
from cm4storage.core.waiting import result_of
from cm4storage.dataset import manifest as manifests
from cm4storage.dataset.contents import FileContent
from cm4storage.dataset.identity import Identity
from cm4storage.dataset.journal import Journal, first_of_each
from cm4storage.dataset.manifest import DamagedManifest, FileEntry, Manifest
from cm4storage.dataset.outputs import (
    DATASET_THREADS,
    Extent,
    InOrder,
    Output,
    outputs,
    still_there,
)
from cm4storage.formats.format import Format, format_of
from cm4storage.workload.plan import Plan, Split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cm4storage.core.progress import Progress
    from cm4storage.storage.store import Store
    from cm4storage.workload.model import Workload
    from cm4storage.workload.sections import DatasetSection

    _Batch = list[FileEntry | Output]

_HEADROOM = 1.01
_UNDER_WAY = 3
_BATCH_BYTES = MIB
_BATCH_FILES = 8


def generate(
    workload: Workload,
    store: Store,
    progress: Progress,
    say: Callable[[str], None] = lambda _line: None,
    *,
    threads: int = DATASET_THREADS,
) -> Manifest:
    """Generate what is missing of the data set of `workload` at the root of `store`.

    Until the manifest is written, at the end, the data set counts as absent. Files that an earlier
    attempt or an older manifest of the same data set knows are kept if they have the right size;
    all others are written over.

    Parameters
    ----------
    workload : Workload
    store : Store
    progress : Progress
    say : callable
        Takes one line about what is there already.
    threads : int
        How many files are made at a time. The bytes do not depend on it.

    Raises
    ------
    StorageFault
        If there is not enough space (before the first byte), or the storage fails.
    """
    plan, identity = Plan.of(workload), Identity.of(workload)
    kept = _Kept(store, identity)
    making = _Making(plan, store, progress, threads)
    making.begin(kept, say)
    try:
        for split in Split:  # DLIO wants both, though there may be no file for evaluation
            store.make_folder(split.value)
        listed = manifests.write_files(store, making.entries(kept))
        making.complete(listed.total_bytes)
    finally:
        progress.finish()
    manifest = Manifest(
        identity=identity,
        files=listed.files,
        total_bytes=listed.total_bytes,
        content_digest=listed.digest,
        created=datetime.now().astimezone().isoformat(timespec="seconds"),
    )
    manifests.write(store, manifest)
    kept.journal.remove()
    return manifest


def planned_bytes(plan: Plan, file_format: Format) -> int:
    """Return the size of all files that `generate` will write; see `Extent`."""
    return Extent.of(plan, file_format).total_bytes


class _Kept:
    """What earlier attempts have left."""

    def __init__(self, store: Store, identity: Identity) -> None:
        self._store = store
        self._manifest = _usable_manifest(store, identity)
        self.journal = Journal(store, identity)

    def entries(self) -> Iterator[FileEntry]:
        """Yield the files that are there, in the order of keys, streamed."""
        if self.journal.is_empty and self._manifest is None:
            return
        runs = [self.journal.entries()]
        if self._manifest is not None:
            runs.append(manifests.read_files(self._store, self._manifest))
        known = first_of_each(heapq.merge(*runs, key=attrgetter("key")))
        yield from still_there(self._store, known)


def _usable_manifest(store: Store, identity: Identity) -> Manifest | None:
    """Return the manifest of a damaged data set, all of whose lines are right."""
    try:
        manifest = manifests.read(store)
        if manifest is None or manifest.identity.digest != identity.digest:
            return None
        for _ in manifests.read_files(store, manifest):
            pass
    except DamagedManifest:
        return None
    return manifest


class _Making:
    """One generation: the writing of files, and its progress."""

    def __init__(self, plan: Plan, store: Store, progress: Progress, threads: int) -> None:
        self._plan, self._store, self._progress = plan, store, progress
        self._threads = threads
        self._formats = _FormatPerThread(plan.dataset)
        self._extent = Extent.of(plan, self._formats.own)
        self._counts_bytes = self._formats.own.has_exact_size
        self._stop = Event()

    def begin(self, kept: _Kept, say: Callable[[str], None]) -> None:
        """Look at what is there, say it, and refuse to start where the rest does not fit."""
        files = there_bytes = 0
        for entry in kept.entries():
            files, there_bytes = files + 1, there_bytes + entry.size_bytes
        if files:
            of_all = f"of {format_count(self._extent.files, 'file')}"
            say(f"resuming: {files:,} {of_all} {'is' if files == 1 else 'are'} there")
        _require_space(self._store, self._extent.total_bytes - there_bytes)
        if self._counts_bytes:
            self._progress.start("generating", self._extent.total_bytes, "B", there_bytes)
        else:
            self._progress.start("generating", self._extent.files, "file", files)

    def complete(self, total_bytes: int) -> None:
        """Make up for the bytes by which the files differ from what was said beforehand."""
        if self._counts_bytes:
            self._progress.advance(max(0, self._extent.total_bytes - total_bytes))

    def entries(self, kept: _Kept) -> Iterator[FileEntry]:
        """Yield the entries of all files in the order of keys; a few are under way at a time."""
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="generate")
        under_way: deque[tuple[_Batch, Future[list[FileEntry]]]] = deque()

        def finished() -> Iterator[FileEntry]:
            batch, future = under_way.popleft()
            entries = result_of(future)
            made = iter(entries)
            for item in batch:
                if isinstance(item, FileEntry):
                    yield item
                else:
                    entry = next(made)
                    kept.journal.note(entry)
                    yield entry

        try:
            for batch in self._batches(InOrder(kept.entries())):
                if len(under_way) >= _UNDER_WAY * self._threads:
                    yield from finished()
                under_way.append((batch, pool.submit(self._write_batch, batch)))
            while under_way:
                yield from finished()
        finally:
            self._stop.set()
            # After an error a thread may hang in a request to a silent service: it is left behind.
            pool.shutdown(wait=False, cancel_futures=True)

    def _batches(self, there: InOrder) -> Iterator[_Batch]:
        """Yield runs of files, with the entries of those there; small ones share a hand-over."""
        batch: _Batch = []
        new_bytes = 0
        for output in outputs(self._plan, self._formats.own):
            entry = there.find(output.key)
            batch.append(entry or output)
            new_bytes += 0 if entry else output.shape.record_bytes * output.shape.samples
            if new_bytes >= _BATCH_BYTES or len(batch) >= _BATCH_FILES:
                yield batch
                batch, new_bytes = [], 0
        if batch:
            yield batch

    def _write_batch(self, batch: _Batch) -> list[FileEntry]:
        return [self._write(item) for item in batch if isinstance(item, Output)]

    def _write(self, output: Output) -> FileEntry:
        import xxhash

        hasher = xxhash.xxh3_128()

        def parts() -> Iterator[memoryview]:
            for part in self._parts(output):
                if self._stop.is_set():
                    raise CancelledError
                hasher.update(part)
                yield part
                if self._counts_bytes:
                    self._progress.advance(part.nbytes)

        size_bytes = self._store.write(output.key, parts())
        if not self._counts_bytes:
            self._progress.advance(1)
        return FileEntry(output.key, size_bytes, hasher.hexdigest())

    def _parts(self, output: Output) -> Iterator[memoryview]:
        if output.content is not None:
            return iter([memoryview(output.content)])
        return self._formats.own.encode(output.shape, FileContent(output.file))


class _FormatPerThread(local):
    """A format for each thread, since one may hold what it needs for the file at hand."""

    def __init__(self, dataset: DatasetSection) -> None:
        self.own: Format = format_of(dataset)


def _require_space(store: Store, needed_bytes: int) -> None:
    free_bytes = store.free_bytes()
    if free_bytes is not None and free_bytes < needed_bytes * _HEADROOM:
        raise StorageFault(
            f"not enough space: the data set needs {format_bytes(needed_bytes)}, "
            f"{format_bytes(free_bytes)} are free",
            where=store.uri,
            advice="free some space, choose another --data_dir, or make the data set smaller, "
            'for example with --params="dataset.num_files_train=N"; no data were written',
        )

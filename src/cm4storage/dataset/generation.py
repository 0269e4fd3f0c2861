"""Generate a data set: every file once, in parallel, each one atomically, the manifest last."""

from __future__ import annotations

import os
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

from cm4storage.core.errors import StorageFault
from cm4storage.core.units import format_bytes
from cm4storage.dataset import manifest as manifests
from cm4storage.dataset.contents import FileContent
from cm4storage.dataset.identity import Identity
from cm4storage.dataset.manifest import FileEntry, Manifest
from cm4storage.formats.format import FileShape, Format, format_of
from cm4storage.workload.plan import Plan, Split

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cm4storage.core.progress import Progress
    from cm4storage.storage.store import Store
    from cm4storage.workload.model import Workload
    from cm4storage.workload.plan import PlannedFile

GENERATOR_THREADS = max(2, min(16, os.cpu_count() or 2))

_HEADROOM = 1.01
_UNDER_WAY = 4


def generate(workload: Workload, store: Store, progress: Progress) -> Manifest:
    """Generate the data set of `workload` at the root of `store`.

    Until the manifest is written, at the end, the data set counts as absent; files of an earlier
    attempt are written over.

    Raises
    ------
    StorageFault
        If there is not enough space (before the first byte), or the storage fails.
    """
    plan, file_format = Plan.of(workload), format_of(workload.dataset)
    total_bytes = planned_bytes(plan, file_format)
    _require_space(store, total_bytes)
    for split in Split:  # DLIO wants both, though there may be no file for evaluation
        store.make_folder(split.value)
    progress.start("generating", total_bytes, "B")
    try:
        listed = manifests.write_files(store, _write_all(plan, file_format, store, progress))
    finally:
        progress.finish()
    manifest = Manifest(
        identity=Identity.of(workload),
        files=listed.files,
        total_bytes=listed.total_bytes,
        content_digest=listed.digest,
        created=datetime.now().astimezone().isoformat(timespec="seconds"),
    )
    manifests.write(store, manifest)
    return manifest


def planned_bytes(plan: Plan, file_format: Format) -> int:
    """Return the size of all files that `generate` will write, to within some bytes a file.

    Beyond a million files of varying sizes it is an estimate; see `Plan.payload_bytes`.
    """
    files = plan.dataset.num_files_train + plan.dataset.num_files_eval
    first = _shape(next(plan.files()), plan)
    overhead_bytes = file_format.file_bytes(first) - first.record_bytes * first.samples
    return plan.payload_bytes() + files * overhead_bytes


def _shape(file: PlannedFile, plan: Plan) -> FileShape:
    return FileShape(file.record_shape, file.samples, plan.dataset.element_type)


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


def _write_all(
    plan: Plan, file_format: Format, store: Store, progress: Progress
) -> Iterator[FileEntry]:
    """Yield the entries of all files in the order of keys; a few files are under way at a time."""
    stop = threading.Event()
    files = plan.files()

    def write(file: PlannedFile) -> FileEntry | None:
        shape = _shape(file, plan)
        return None if stop.is_set() else _write_file(file, shape, file_format, store, progress)

    pool = ThreadPoolExecutor(GENERATOR_THREADS, thread_name_prefix="generate")
    try:
        first = islice(files, _UNDER_WAY * GENERATOR_THREADS)
        under_way = deque(pool.submit(write, file) for file in first)
        while under_way:
            entry = under_way.popleft().result()
            under_way.extend(pool.submit(write, file) for file in islice(files, 1))
            if entry is not None:
                yield entry
    finally:
        stop.set()
        # After an error a thread may hang in a request to a silent service: it is left behind.
        pool.shutdown(wait=False, cancel_futures=True)


def _write_file(
    file: PlannedFile, shape: FileShape, file_format: Format, store: Store, progress: Progress
) -> FileEntry:
    import xxhash

    hasher = xxhash.xxh3_128()

    def parts() -> Iterator[memoryview]:
        for part in file_format.encode(shape, FileContent(file)):
            hasher.update(part)
            yield part
            progress.advance(len(part))

    size_bytes = store.write(file.key, parts())
    return FileEntry(file.key, size_bytes, hasher.hexdigest())

"""What one rank does: write all checkpoints, take their files out of the page cache, read them.

Source of the order: ``_checkpoint_write`` and ``_checkpoint_read`` in ``main.py`` of
dlio_benchmark: sleep, barrier, save or load, and with ``rank_sync`` another barrier in the time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from cm4storage.checkpoint.containers import container_of
from cm4storage.checkpoint.models.layout import folder_of
from cm4storage.checkpoint.payload import GeneratedPayload, OnesPayload
from cm4storage.checkpoint.runs.archive_reading import read_archive
from cm4storage.checkpoint.writing import write_file
from cm4storage.core.errors import UserError
from cm4storage.core.waiting import pause
from cm4storage.results.checkpoint_records import OperationRecord, digest_of, local_time
from cm4storage.storage.page_cache import LocalFiles, Residency, evict, residency
from cm4storage.storage.store import MissingObject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cm4storage.checkpoint.models.layout import CheckpointFile
    from cm4storage.checkpoint.payload import Payload
    from cm4storage.checkpoint.runs.job import CheckpointJob
    from cm4storage.ranks.communicator import Communicator
    from cm4storage.results.checkpoint_records import OperationKind
    from cm4storage.storage.store import Store

SHIFT_ON_ONE_HOST: Final = 1
"""How far ``recovery_rank_shift`` goes where all ranks are on one host.

Source: DLIO shifts by the ranks of a host, so that a host reads what another one wrote. On one
host that would be no shift; there a rank at least reads what another process wrote.
"""


@dataclass(frozen=True)
class _Work:
    """What was done for one checkpoint, as `OperationRecord` has it."""

    tensor_bytes: int
    stored_bytes: int
    files: int
    content_digest: str


class Cycle:
    """The checkpoints of one rank.

    Parameters
    ----------
    job : CheckpointJob
    ranks : Communicator
    store : Store
    advance : callable
        Gets the bytes of files that have been written or read.
    """

    def __init__(
        self,
        job: CheckpointJob,
        ranks: Communicator,
        store: Store,
        advance: Callable[[int], None],
    ) -> None:
        self._job = job
        self._layout = job.layout
        self._encoding = job.encoding
        self._section = job.resolved.workload.checkpoint
        self._ranks = ranks
        self._store = store
        self._advance = advance

    def run(self) -> tuple[list[OperationRecord], Residency | None]:
        """Write and read as the job says.

        Returns
        -------
        list of OperationRecord
        Residency or None
            What was left in the page cache of the files of this rank before the first was read;
            None where there is no page cache to be looked at, or nothing was read.
        """
        job, rank = self._job, self._ranks.rank
        self._load_code()
        done = [self._timed("save", n, rank, self._save) for n in range(1, job.writes + 1)]
        if job.reads == 0:
            return done, None
        self._ranks.barrier()
        left = self._evict()
        source = self._source()
        done += [self._timed("load", n, source, self._load) for n in range(1, job.reads + 1)]
        return done, left

    def _source(self) -> int:
        """Return whose files this rank reads."""
        shift = SHIFT_ON_ONE_HOST if self._section.recovery_rank_shift else 0
        return (self._ranks.rank + shift) % self._ranks.size

    def _load_code(self) -> None:
        """Import what writing needs: the first checkpoint must not wait for it."""
        for file in islice(self._layout.files(self._ranks.rank), 1):
            self._payload(file, 1, 0).fill(0, 0, memoryview(bytearray(1)))
            container_of(self._encoding.container, file.tensors[:1], {})

    def _timed(
        self, kind: OperationKind, number: int, source: int, do: Callable[[int, int], _Work]
    ) -> OperationRecord:
        pause(abs(self._section.time_between_checkpoints))
        self._ranks.barrier()
        start, begin_s = local_time(), time.perf_counter()
        work = do(number, source)
        if self._section.rank_sync:
            self._ranks.barrier()
        duration_s = time.perf_counter() - begin_s
        return OperationRecord(
            kind=kind,
            number=number,
            rank=self._ranks.rank,
            source_rank=source,
            start=start,
            end=local_time(),
            duration_s=duration_s,
            tensor_bytes=work.tensor_bytes,
            stored_bytes=work.stored_bytes,
            files=work.files,
            content_digest=work.content_digest,
        )

    def _save(self, number: int, rank: int) -> _Work:
        tensor_bytes = stored_bytes = 0
        files = list(self._layout.files(rank))
        digests = []
        for place, file in enumerate(files):
            written = write_file(
                self._store,
                _key(number, file),
                self._payload(file, number, rank + self._ranks.size * place),
                self._encoding,
                {},
                self._advance,
            )
            tensor_bytes += written.size_bytes
            stored_bytes += written.stored_bytes
            digests.append((file.name, written.digest))
        return _Work(tensor_bytes, stored_bytes, len(files), digest_of(digests))

    def _payload(self, file: CheckpointFile, number: int, stream: int) -> Payload:
        """Return the contents of a file; no two files of a run have the same."""
        if not self._section.randomize_tensor:
            return OnesPayload(file.tensors)
        seed = self._job.resolved.workload.train.seed
        return GeneratedPayload(file.tensors, seed=seed, rank=stream, step=number)

    def _load(self, number: int, source: int) -> _Work:
        tensor_bytes = stored_bytes = 0
        files = list(self._layout.files(source))
        for file in files:
            stored_bytes += self._read(number, file)
            tensor_bytes += file.size_bytes
        return _Work(tensor_bytes, stored_bytes, len(files), "")

    def _read(self, number: int, file: CheckpointFile) -> int:
        key, threads = _key(number, file), self._encoding.threads
        try:
            return read_archive(self._store, key, file, threads=threads, note=self._advance)
        except MissingObject as error:
            raise UserError(
                f"checkpoint {number} is not there to be read: {file.name} is missing",
                where=f"{self._store.uri}/{key}",
                advice="write the checkpoints first: checkpoint.num_checkpoints_write, with the "
                "same workload, --ranks and --checkpoint_dir",
            ) from error

    def _evict(self) -> Residency | None:
        """Take the own files out of the page cache; say what is still there."""
        if not isinstance(self._store, LocalFiles):
            return None
        paths = [self._store.local_path(key) for key in self._keys_to_read()]
        evict(paths)
        self._ranks.barrier()
        return residency(paths)

    def _keys_to_read(self) -> Iterator[str]:
        for number in range(1, self._job.reads + 1):
            for file in self._layout.files(self._ranks.rank):
                yield _key(number, file)


def _key(number: int, file: CheckpointFile) -> str:
    return f"{folder_of(number)}/{file.name}"

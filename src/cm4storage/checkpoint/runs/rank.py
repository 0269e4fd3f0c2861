"""One rank's process: ``python -m cm4storage.checkpoint.runs.rank``. The hub starts it."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cm4storage.checkpoint.runs.cycle import Cycle
from cm4storage.checkpoint.runs.job import CheckpointJob
from cm4storage.ranks.local_rank import serve
from cm4storage.storage.opening import open_store

if TYPE_CHECKING:
    from cm4storage.ranks.local_rank import LocalRank


def work(rank: LocalRank) -> list[Any] | None:
    """Write and read; in rank 0 return what all ranks did."""
    job = CheckpointJob.from_document(rank.job)
    fsync = job.resolved.workload.checkpoint.fsync
    with open_store(job.location, fsync=fsync) as store:
        done, left = Cycle(job, rank, store, rank.advance).run()
        told = {
            "operations": [asdict(each) for each in done],
            "resident": None if left is None else [left.resident_bytes, left.total_bytes],
            "retries": store.retries,
        }
        return rank.gather(told)


def main() -> int:
    """Be the rank of the connection that the command line names."""
    return serve(int(sys.argv[1].removeprefix("--connection=")), work)


if __name__ == "__main__":
    code = main()
    if code:  # who ends a run does not wait for threads that hang in a request
        sys.stderr.flush()
        os._exit(code)

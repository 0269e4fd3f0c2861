"""What the ranks of the tests do: ``python -m rank_work --connection=N``."""

import os
import signal
import sys
import time
from pathlib import Path

from cm4storage.core.errors import StorageFault
from cm4storage.ranks.local_rank import serve


def talk(rank):
    """Speak with all others, and give back what was heard."""
    waited_s = rank.barrier()
    rank.advance(rank.rank + 1)
    heard = rank.gather({"rank": rank.rank, "told": rank.job["told"], "text": "\u00e4" * 70_000})
    again = rank.gather(rank.rank)
    return {"waited_s": waited_s, "heard": heard, "again": again}


def fail(rank):
    """Fail on rank 1, while the others wait for it."""
    if rank.rank == 1:
        raise StorageFault("no space left", where="/somewhere/file", advice="free some")
    rank.barrier()


def break_down(rank):
    """Have a defect on rank 0."""
    return {}["missing"] if rank.rank == 0 else rank.barrier()


def leave(rank):
    """End on rank 1, while the others wait for it."""
    return None if rank.rank == 1 else rank.barrier()


def linger(rank):
    """Tell the number of each process, and wait for a signal that rank 2 sends itself, if asked."""
    pids = rank.gather(os.getpid())
    if pids is not None:
        with Path(rank.job["pids"]).open("w", encoding="ascii") as stream:
            stream.write("\n".join(map(str, pids)) + "\n")
    rank.barrier()
    if rank.rank == 2 and rank.job["kills"]:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0 if rank.job["waits_in_barrier"] and rank.rank else 60)
    rank.barrier()


def calculate(_rank):
    """Return how many threads there are before and after numpy is there."""
    tasks = Path("/proc/self/task")
    before = len(list(tasks.iterdir()))
    import numpy as np

    np.ones((200, 200)) @ np.ones((200, 200))
    return before, len(list(tasks.iterdir()))


if __name__ == "__main__":
    descriptor = int(sys.argv[1].removeprefix("--connection="))
    sys.exit(serve(descriptor, lambda rank: globals()[rank.job["work"]](rank)))

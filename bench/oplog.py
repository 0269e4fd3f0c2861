"""What the operation log costs the thread that reads: an empty store with and without it."""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
from pathlib import Path

from cm4storage.storage.oplog import FileLog
from cm4storage.storage.wrapper import StoreWrapper

READS = 200_000


class EmptyStore(StoreWrapper):
    """A store whose reads cost as little as possible."""

    def __init__(self) -> None:
        """Keep the one answer."""
        self._answer = contextlib.nullcontext(memoryview(b"x"))

    @property
    def uri(self) -> str:
        """A place that is not there."""
        return "file:///nowhere"

    def read(self, key, *, start=0, length=None):  # noqa: ARG002 - what Store prescribes
        """Lend the one answer."""
        return self._answer


def us_per_read(store, threads):
    """Return what one read costs its thread in CPU time."""
    spent_s = []

    def work():
        begin = time.thread_time()
        for _ in range(READS // threads):
            with store.read("folder/object"):
                pass
        spent_s.append(time.thread_time() - begin)

    crew = [threading.Thread(target=work) for _ in range(threads)]
    for each in crew:
        each.start()
    for each in crew:
        each.join()
    return sum(spent_s) / READS * 1e6


def main():
    """Measure with one thread and with several."""
    print("threads  bare us  logged us  cost us  with the log's own thread us  bytes a row")
    for threads in (1, 4):
        bare = us_per_read(EmptyStore(), threads)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "ops.tsv.zst"
            begin = time.process_time()
            with FileLog(path) as log:
                logged = us_per_read(log.logged(EmptyStore(), "file://"), threads)
            whole = (time.process_time() - begin) / READS * 1e6
            size_bytes = path.stat().st_size
        print(
            f"{threads:>7}  {bare:7.2f}  {logged:9.2f}  {logged - bare:7.2f}"
            f"  {whole - bare:28.2f}  {size_bytes / READS:11.1f}"
        )


if __name__ == "__main__":
    main()

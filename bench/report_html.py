"""How long ``report.html`` of a million steps takes, and how large it is."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from made_records import made_record

from cm4storage.report.html.page import write_page
from cm4storage.results.figures import of_run

EPOCHS = 5
SIZES = (500, 20_000, 200_000)


def main():
    """Write the page of three runs; the time is that from the figures to the file."""
    print("epochs     steps  figures s  page s  KiB")
    with tempfile.TemporaryDirectory() as folder:
        for steps in SIZES:
            record = made_record(EPOCHS, steps)
            begin = time.perf_counter()
            figures = of_run(record)
            computed = time.perf_counter()
            path = write_page(figures, Path(folder), "cm4storage run")
            written = time.perf_counter()
            print(
                f"{EPOCHS:>6}  {EPOCHS * steps:>8}  {computed - begin:9.2f}"
                f"  {written - computed:6.2f}  {path.stat().st_size / 1024:.0f}"
            )


if __name__ == "__main__":
    main()

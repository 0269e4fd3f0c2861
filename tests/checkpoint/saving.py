"""A process that saves one checkpoint after the other, to be killed: ``saving.py URI [FOLDER]``.

FOLDER is that of an embedded server. A line goes to standard output before each checkpoint.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

from cm4storage.checkpoint.catalogue import Checkpoints
from cm4storage.checkpoint.encoding import Encoding
from cm4storage.checkpoint.payload import GeneratedPayload
from cm4storage.checkpoint.tensors import Tensor
from cm4storage.storage.location import StoreLocation
from cm4storage.storage.opening import open_store

RUN_ID = "killed"
TENSORS = (Tensor("a", "F32", (1000,)), Tensor("b", "F16", (7 * 2**20,)))
TENSORS_LARGE = (Tensor("a", "U8", (2**25,)),)
LEVELS = (None, 1)


def main() -> None:
    """Save until somebody ends it; every second checkpoint is compressed."""
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    location = StoreLocation.parse(sys.argv[1], server_dir=folder)
    with open_store(location) as store:
        start = max(Checkpoints(store, RUN_ID).steps(), default=0) + 1
        for step in itertools.count(start):
            sys.stdout.write(f"{step}\n")
            sys.stdout.flush()
            checkpoints = Checkpoints(store, RUN_ID, Encoding(zstd_level=LEVELS[step % 2]))
            checkpoints.save(step, GeneratedPayload(TENSORS, step=step))
            checkpoints.keep_last(2)


if __name__ == "__main__":
    main()

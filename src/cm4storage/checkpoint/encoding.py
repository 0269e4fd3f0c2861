"""How the bytes of a checkpoint's files are laid out, compressed and computed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cm4storage.core.errors import UserError
from cm4storage.core.units import MIB

if TYPE_CHECKING:
    from cm4storage.checkpoint.containers import ContainerName

BLOCK_BYTES: Final = 4 * MIB
"""A file is made, digested, compressed and read by blocks of this size."""

_MOST_WORKERS: Final = 4
LEVELS: Final = range(1, 23)
"""The levels of zstd."""


@dataclass(frozen=True)
class Encoding:
    """How files are written.

    Attributes
    ----------
    container : {'safetensors', 'torch'}
        The file format; ``torch`` is what ``torch.load`` reads.
    zstd_level : int or None
        Each block becomes a zstd frame of its own; None: nothing is compressed.
    workers : int
        Threads that make blocks; 0: as many as there are processors, at most 4.
    """

    container: ContainerName = "safetensors"
    zstd_level: int | None = None
    workers: int = 0

    def __post_init__(self) -> None:
        if self.zstd_level is not None and self.zstd_level not in LEVELS:
            raise UserError(
                f"the compression level must be 1 to {LEVELS[-1]}, not {self.zstd_level}",
                where="compression_level",
            )
        if self.zstd_level is not None and self.container == "torch":
            raise UserError(
                "files for torch.load cannot be compressed",
                where="compression",
                meaning="torch.load would not read them",
                advice="leave the compression out, or write safetensors",
            )

    @property
    def threads(self) -> int:
        """The number of threads."""
        return self.workers or min(_MOST_WORKERS, len(os.sched_getaffinity(0)))

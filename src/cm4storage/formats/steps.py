"""Reading a file in steps, so that each part is verified while the processor's cache has it.

A file of some MiB has left the cache of a core when all of it has come: to compute its checksum
then costs nearly as much as to read it (see ``bench/README.md``).
"""

from __future__ import annotations

from contextlib import closing
from itertools import chain
from typing import TYPE_CHECKING, Final

from isal.isal_zlib import crc32

from cm4storage.core.units import MIB
from cm4storage.formats.format import SteppedSource

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from cm4storage.formats.direct import Layout
    from cm4storage.formats.format import Source

STEP_BYTES: Final = MIB // 2
"""What stays in the cache of a core until it is verified."""


def parts_of(buffers: Iterable[memoryview]) -> list[memoryview]:
    """Return `buffers` in parts for a step each."""
    return [
        buffer[at : at + STEP_BYTES]
        for buffer in buffers
        for at in range(0, len(buffer), STEP_BYTES)
    ]


def read_checked(
    source: Source, layout: Layout, parts: Sequence[memoryview], crc: int
) -> int | None:
    """Read a file with one sample into `parts`; return the sample's CRC-32 behind `crc`.

    Parameters
    ----------
    source : Source
        If it is a `SteppedSource`, a part may have the memory of one before it.
    layout : Layout
        That of one sample; its ``outside`` is filled.
    parts : sequence of memoryview
        As long as the sample, together.
    crc : int
        Of what stands before the sample in the same array.

    Returns
    -------
    int or None
        None if the file has another size.
    """
    before, behind = layout.around
    steps: list[list[memoryview]] = [[part] for part in parts]
    steps[0][:0] = before
    steps[-1] += behind
    size_bytes = 0
    with closing(_read_steps(source, steps)) as reads:
        for part, came_bytes in zip(parts, reads, strict=False):
            size_bytes += came_bytes
            crc = crc32(part, crc)
    return crc if size_bytes == layout.file_bytes else None


def _read_steps(
    source: Source, steps: Sequence[Sequence[memoryview]]
) -> Generator[int, None, None]:
    """Yield how many bytes came with each step; all with the first where there are no steps."""
    if isinstance(source, SteppedSource):
        yield from source.read_steps(0, steps)
        return
    yield source.scatter(0, list(chain.from_iterable(steps)))
    yield from [0] * (len(steps) - 1)

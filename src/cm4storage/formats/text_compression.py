"""Texts, compressed and taken apart block by block: gzip, bz2, xz, and zip with one member."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from cm4storage.core.units import KIB
from cm4storage.formats.archive import read_directory, read_member
from cm4storage.formats.damage import Damage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

BLOCK_BYTES = 64 * KIB
"""What is taken apart at a time: with all that is computed of it, it stays in a core's cache."""

COMPRESSIONS = ("none", "gzip", "bz2", "zip", "xz")
_MEMBER = "data.csv"
_GZIP_WINDOW = 31


class _Compressor(Protocol):
    def compress(self, data: memoryview, /) -> bytes: ...

    def flush(self) -> bytes: ...


def compressed(parts: Iterable[memoryview], compression: str, level: int) -> Iterator[memoryview]:
    """Yield the parts of a compressed file; the same each time for the same version of a library.

    Parameters
    ----------
    parts : iterable of memoryview
    compression : str
        One of `COMPRESSIONS`.
    level : int
        0 to 9, where more takes longer; for bz2 the least is 1.
    """
    if compression == "none":
        yield from parts
    elif compression == "zip":
        yield from _zipped(parts, level)
    else:
        compressor = _compressor(compression, level)
        for part in parts:
            if packed := compressor.compress(part):
                yield memoryview(packed)
        yield memoryview(compressor.flush())


def _compressor(compression: str, level: int) -> _Compressor:
    if compression == "bz2":
        import bz2

        return bz2.BZ2Compressor(max(1, level))
    if compression == "xz":
        import lzma

        return lzma.LZMACompressor(preset=level)
    import zlib

    return zlib.compressobj(level, zlib.DEFLATED, _GZIP_WINDOW)


class _Sink:
    """What a zip archive is written to, without going back."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing: all is taken right away."""

    def taken(self) -> Iterator[memoryview]:
        parts, self._parts = self._parts, []
        return map(memoryview, parts)


def _zipped(parts: Iterable[memoryview], level: int) -> Iterator[memoryview]:
    import zipfile

    sink: Any = _Sink()
    # A member that is opened by name has the oldest date there is, the same each time.
    with (
        zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive,
        archive.open(_MEMBER, "w", force_zip64=True) as member,
    ):
        for part in parts:
            member.write(part)
            yield from sink.taken()
    yield from sink.taken()


def text_blocks(view: memoryview, compression: str) -> Iterator[bytes]:
    """Yield a file's text, checksums verified, in blocks of at most `BLOCK_BYTES`.

    Raises
    ------
    Damage
        If it is cut off, or is no such file.
    """
    if compression == "none":
        yield from _cut(view)
    elif compression == "zip":
        yield from _cut(_unzipped(view))
    else:
        yield from _expanded(view, compression)


def _cut(view: memoryview) -> Iterator[bytes]:
    for start in range(0, len(view), BLOCK_BYTES):
        yield bytes(view[start : start + BLOCK_BYTES])


def _unzipped(view: memoryview) -> memoryview:
    try:
        members = read_directory(view)
        if len(members) == 1:
            return read_member(view, *members.values())
    except ValueError as error:
        raise Damage(str(error), getattr(error, "offset", 0)) from None
    raise Damage(f"the archive has {len(members)} members, not one")


def _expanded(view: memoryview, compression: str) -> Iterator[bytes]:
    """Yield the text of all streams in the file; there may be several, one after the other."""
    make, errors = _expander(compression)
    at = 0
    while at < len(view) or at == 0:
        expander = make()
        data: memoryview | bytes = view[at:]
        while not expander.eof:
            try:
                text = expander.decompress(data, BLOCK_BYTES)
            except errors as error:
                raise Damage(f"it cannot be decompressed: {error}", at) from None
            if not text and not expander.eof:
                raise Damage("the compressed text is cut off", len(view))
            data = expander.unconsumed_tail if compression == "gzip" else b""
            if text:
                yield text
        at = len(view) - len(expander.unused_data)
        if compression == "gzip" and at < len(view) and not any(view[at:]):
            return  # gzip files may be padded with zeros


def _expander(compression: str) -> tuple[Callable[[], Any], tuple[type[Exception], ...]]:
    if compression == "bz2":
        import bz2

        return bz2.BZ2Decompressor, (OSError, ValueError)
    if compression == "xz":
        import lzma

        return lzma.LZMADecompressor, (lzma.LZMAError, ValueError)
    import zlib

    return lambda: zlib.decompressobj(_GZIP_WINDOW), (zlib.error,)

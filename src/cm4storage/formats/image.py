"""JPEG and PNG files as DLIO writes them: one image of uint8 noise a file, which is one sample.

Source: ``data_generator/{jpeg,png}_generator.py`` of dlio_benchmark: Pillow's own settings. Samples
with three dimensions of which the last is 3 are RGB images, all others gray ones. Images of other
writers are read too; a sample is the bytes of rows x columns x channels.

A JPEG has no checksum, and a decoder makes a picture of nearly any bytes. So the CRC-32 of the
file is kept in a comment, as eight hexadecimal digits, and holds for all bytes but the comment.
"""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from isal.isal_zlib import crc32

from cm4storage.core.errors import UserError
from cm4storage.core.units import GIB
from cm4storage.formats.damage import Damage
from cm4storage.formats.direct import Misses
from cm4storage.formats.format import CorruptFile
from cm4storage.formats.png_chunks import verified_header

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    import numpy.typing as npt
    from PIL.Image import Image

    from cm4storage.formats.format import Content, FileShape, Source
    from cm4storage.workload.sections import DatasetSection

# Neither DEFLATE nor the coding of a JPEG makes more bytes than this of one.
_LARGEST_EXPANSION = 1032
_LARGEST_IMAGE_BYTES = 4 * GIB
_COLOURS = 3
_JPEG_CHANNELS = {"Gray": 1, "YCbCr": 3, "RGB": 3}

# Behind the JFIF header, which comes first.
_COMMENT_OFFSET = 20
_COMMENT_START = b"\xff\xfe\x00\x1ccm4storage CRC-32 "
_COMMENT_BYTES = len(_COMMENT_START) + 8


class Pixels(NamedTuple):
    """The dimensions of an image."""

    rows: int
    columns: int
    channels: int

    @property
    def size_bytes(self) -> int:
        """The size of the decoded image."""
        return self.rows * self.columns * self.channels


class ImageFormat:
    """What both formats have in common: one image is one file and one sample."""

    name: str
    has_exact_size = False
    _longest_side: int
    _last_bytes: bytes

    def __init__(self, dataset: DatasetSection) -> None:
        del dataset
        self._scratch = memoryview(b"")
        self._misses = Misses()

    def encode(self, shape: FileShape, content: Content) -> Iterator[memoryview]:
        """Yield the whole file; the encoder needs the whole image in memory."""
        from PIL import Image

        pixels = self._pixels(shape)
        data = bytearray(pixels.size_bytes)
        content.fill(memoryview(data))
        mode = "L" if pixels.channels == 1 else "RGB"
        yield memoryview(self._encoded(Image.frombytes(mode, (pixels.columns, pixels.rows), data)))

    def decode(self, source: Source) -> Iterator[memoryview]:
        """Yield the image's bytes, in memory that the next file takes again."""
        with source.read(0, None) as view:
            try:
                pixels = self._verified(view)
                sample = self._scratch_of(pixels.size_bytes)
                self._decode_to(view, pixels, sample)
            except Damage as damage:
                raise _corrupt(source, damage) from None
        yield sample

    def decode_into(
        self, source: Source, shape: FileShape, rows: Sequence[memoryview | None]
    ) -> bool:
        """Decode the image straight into its row; see `DirectFormat.decode_into`.

        A file that does not end with its image is left to `decode`, which takes no offence.
        """
        if shape.samples != 1 or len(rows) != 1 or self._misses.are_too_many:
            return False
        row = rows[0]
        with source.read(0, None) as view:
            if view[-2:] != self._last_bytes:
                return self._misses.note(is_read=False)
            try:
                pixels = self._verified(view)
                if pixels.size_bytes != shape.record_bytes:
                    return self._misses.note(is_read=False)
                if row is not None and len(row) == pixels.size_bytes:
                    self._decode_to(view, pixels, row)
                    return self._misses.note(is_read=True)
                sample = self._scratch_of(pixels.size_bytes)
                self._decode_to(view, pixels, sample)
            except Damage as damage:
                raise _corrupt(source, damage) from None
        if row is not None:
            row[:] = sample[: len(row)]
        return self._misses.note(is_read=True)

    def _pixels(self, shape: FileShape) -> Pixels:
        """Return the image for a sample: RGB where it has three channels, else gray.

        Raises
        ------
        UserError
            If the format has no images of that size.
        """
        first, *others = shape.record_shape
        has_colours = len(others) == 2 and others[-1] == _COLOURS
        channels = others.pop() if has_colours else 1
        pixels = Pixels(first, math.prod(others), channels)
        if max(pixels.rows, pixels.columns) > self._longest_side:
            raise UserError(
                f"an image of {pixels.rows} x {pixels.columns} pixels is too large for {self.name}",
                where="dataset.record_length_bytes or dataset.record_dims",
                meaning=f"no side is longer than {self._longest_side} pixels",
                advice="make the samples smaller, or take another dataset.format",
            )
        return pixels

    def _scratch_of(self, size_bytes: int) -> memoryview:
        if len(self._scratch) < size_bytes:
            self._scratch = memoryview(bytearray(size_bytes))
        return self._scratch[:size_bytes]

    def _encoded(self, image: Image) -> bytes:
        raise NotImplementedError

    def _verified(self, view: memoryview) -> Pixels:
        """Verify checksums, and return what the header says."""
        raise NotImplementedError

    def _decode_to(self, view: memoryview, pixels: Pixels, target: memoryview) -> None:
        raise NotImplementedError


class Jpeg(ImageFormat):
    """The JPEG format. See the module's text."""

    name = "jpeg"
    _longest_side = 65500
    _last_bytes = b"\xff\xd9"

    def file_bytes(self, shape: FileShape) -> int:
        """Return what the largest file of noise takes at Pillow's quality of 75.

        Measured: 36 bytes for a gray block of 8 x 8 pixels, 156 for 16 x 16 coloured ones, whose
        colours are of half the resolution; the spread of one is about a tenth of that.
        """
        pixels = self._pixels(shape)
        side, block_bytes = (8, 36) if pixels.channels == 1 else (16, 158)
        blocks = math.ceil(pixels.rows / side) * math.ceil(pixels.columns / side)
        spread_bytes = math.ceil(block_bytes / 4 * math.sqrt(blocks))
        return 640 + len(_comment(0)) + blocks * block_bytes + spread_bytes

    def _encoded(self, image: Image) -> bytes:
        stream = io.BytesIO()
        image.save(stream, format="JPEG")
        data = stream.getvalue()
        at = _COMMENT_OFFSET
        return data[:at] + _comment(crc32(data)) + data[at:]

    def _verified(self, view: memoryview) -> Pixels:
        import simplejpeg

        _verify_comment(view)
        try:
            rows, columns, colours, _ = simplejpeg.decode_jpeg_header(view)
        except ValueError as error:
            raise Damage(f"no JPEG image: {error}") from None
        if colours not in _JPEG_CHANNELS:
            raise Damage(f"its colours are {colours}, which no sample has")
        pixels = Pixels(rows, columns, _JPEG_CHANNELS[colours])
        _require_plausible(pixels, len(view))
        return pixels

    def _decode_to(self, view: memoryview, pixels: Pixels, target: memoryview) -> None:
        """Decode at full size; what libjpeg would only warn of is an error here."""
        import simplejpeg

        colours = "GRAY" if pixels.channels == 1 else "RGB"
        try:
            simplejpeg.decode_jpeg(view, colorspace=colours, buffer=target)
        except ValueError as error:
            raise Damage(f"the image cannot be decoded: {error}") from None


class Png(ImageFormat):
    """The PNG format. See the module's text."""

    name = "png"
    _longest_side = 2**31 - 1
    _last_bytes = b"\x60\x82"  # of the checksum of an empty IEND

    def file_bytes(self, shape: FileShape) -> int:
        """Return what the largest file takes: noise that cannot be compressed.

        A byte before each line, five for a stored block of at most 16 KiB, twelve for a chunk of
        at most 64 KiB.
        """
        pixels = self._pixels(shape)
        raw_bytes = pixels.size_bytes + pixels.rows
        return 128 + raw_bytes + raw_bytes // 512

    def _encoded(self, image: Image) -> bytes:
        stream = io.BytesIO()
        image.save(stream, format="PNG")
        return stream.getvalue()

    def _verified(self, view: memoryview) -> Pixels:
        header = verified_header(view)
        self._is_plain = header.is_plain
        pixels = Pixels(header.rows, header.columns, header.pixel_bytes)
        _require_plausible(pixels, len(view))
        return pixels

    def _decode_to(self, view: memoryview, pixels: Pixels, target: memoryview) -> None:
        import imagecodecs
        import numpy as np

        data: Any = view  # any buffer will do, whatever its stub says
        array = np.frombuffer(target, np.uint8)
        shape = pixels[:2] if pixels.channels == 1 else pixels
        try:
            if self._is_plain:
                imagecodecs.png_decode(data, out=array.reshape(shape))
            else:
                array[:] = _decoded_by_pillow(view)
        except (imagecodecs.PngError, OSError, SyntaxError, ValueError) as error:
            raise Damage(f"the image cannot be decoded: {error}") from None


def _decoded_by_pillow(view: memoryview) -> npt.NDArray[np.uint8]:
    """Return the pixels of an image with a palette or another depth, as ``numpy.asarray`` does."""
    import numpy as np
    from PIL import Image

    with Image.open(io.BytesIO(view), formats=("PNG",)) as image:
        return np.frombuffer(np.asarray(image).tobytes(), np.uint8)


def _require_plausible(pixels: Pixels, file_bytes: int) -> None:
    limit_bytes = min(_LARGEST_EXPANSION * file_bytes, _LARGEST_IMAGE_BYTES)
    if pixels.size_bytes > limit_bytes:
        raise Damage(
            f"the image is said to have {pixels.size_bytes} bytes, but a file of {file_bytes} "
            f"gives {limit_bytes} at most"
        )


def _comment(crc: int) -> bytes:
    return _COMMENT_START + f"{crc:08x}".encode()


def _verify_comment(view: memoryview) -> None:
    """Compare the file with the checksum in its comment, if it has one of ours."""
    start, end = _COMMENT_OFFSET, _COMMENT_OFFSET + _COMMENT_BYTES
    if not bytes(view[start:end]).startswith(_COMMENT_START):
        return
    if bytes(view[start:end]) != _comment(crc32(view[end:], crc32(view[:start]))):
        raise Damage("the file's bytes are not those that its checksum was made of")


def _corrupt(source: Source, damage: Damage) -> CorruptFile:
    return CorruptFile(source.name, damage.what, offset=damage.offset, record=0)

"""JPEG and PNG: Pillow reads ours, we read others', and nothing damaged becomes a picture."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from named_formats import format_named
from PIL import Image

from cm4storage.core.errors import UserError
from cm4storage.formats.format import CorruptFile, FileShape

NAMES = ["jpeg", "png"]
SHAPES = [(1, 1), (8, 8), (7, 9), (100, 77), (388, 388), (1, 2000), (64, 64, 3), (13, 21, 3), (30,)]
FUNCTION_FIXTURES = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def noise(*shape):
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


class Noise:
    """What a data set really holds, and no encoder makes smaller."""

    def fill(self, buffer):
        buffer[:] = noise(len(buffer)).tobytes()


def saved(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def decoded(name, data, memory_source):
    return [bytes(sample) for sample in format_named(name).decode(memory_source(data))]


def pixels_of(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dims", SHAPES)
def test_pillow_reads_what_we_write_as_we_do(name, dims, encode, memory_source):
    data = encode(format_named(name), FileShape(dims, 1))
    array = pixels_of(data)
    assert array.size == FileShape(dims, 1).record_bytes
    if len(dims) > 1:
        assert array.shape == dims
    assert decoded(name, data, memory_source) == [array.tobytes()]


@pytest.mark.parametrize("dims", SHAPES)
def test_a_png_holds_the_content_itself(dims, encode, memory_source, known_content):
    shape, expected = FileShape(dims, 1), bytearray(FileShape(dims, 1).record_bytes)
    known_content().fill(memoryview(expected))
    data = encode(format_named("png"), shape)
    assert decoded("png", data, memory_source) == [bytes(expected)]


@pytest.mark.parametrize("name", NAMES)
def test_files_have_the_size_of_dlios(name, encode, known_content):
    content = bytearray(388 * 388)
    known_content().fill(memoryview(content))
    image = Image.frombytes("L", (388, 388), bytes(content))
    theirs = saved(image, name.upper(), bits=8)
    ours = encode(format_named(name), FileShape((388, 388), 1))
    assert 0 <= len(ours) - len(theirs) <= 30


@pytest.mark.parametrize("name", NAMES)
@given(
    rows=st.integers(1, 90),
    columns=st.integers(1, 90),
    channels=st.sampled_from([(), (3,)]),
)
@FUNCTION_FIXTURES
def test_no_file_is_larger_than_said(name, rows, columns, channels):
    shape, file_format = FileShape((rows, columns, *channels), 1), format_named(name)
    size_bytes = len(b"".join(map(bytes, file_format.encode(shape, Noise()))))
    assert size_bytes <= file_format.file_bytes(shape) <= 2 * size_bytes + 700


@pytest.mark.parametrize(
    ("image", "options"),
    [
        (Image.fromarray(noise(40, 50)), {"quality": 95}),
        (Image.fromarray(noise(40, 50)), {"progressive": True}),
        (Image.fromarray(noise(40, 50, 3)), {}),
        (Image.fromarray(noise(40, 50, 3)), {"subsampling": 0, "optimize": True}),
        (Image.fromarray(noise(40, 50, 3)), {"keep_rgb": True}),
        (Image.fromarray(noise(40, 50)), {"comment": b"another program's words"}),
        (Image.fromarray(noise(40, 50)), {"restart_marker_blocks": 1}),
    ],
)
def test_jpegs_of_others_are_read_as_pillow_reads_them(image, options, memory_source):
    data = saved(image, "JPEG", **options)
    (sample,) = decoded("jpeg", data, memory_source)
    ours = np.frombuffer(sample, np.uint8).reshape(pixels_of(data).shape)
    # Pillow and the decoder carry two versions of one library.
    assert np.abs(ours.astype(int) - pixels_of(data)).max() <= 1


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
@pytest.mark.parametrize("options", [{}, {"transparency": 3}])
def test_pngs_of_others_are_read_as_pillow_reads_them(mode, options, memory_source):
    if mode in ("1", "LA", "RGBA") and options:
        pytest.skip("this mode has no transparent colour")
    if mode == "RGB" and options:
        options = {"transparency": (1, 2, 3)}
    data = saved(Image.fromarray(noise(40, 50, 3)).convert(mode), "PNG", **options)
    assert decoded("png", data, memory_source) == [pixels_of(data).tobytes()]


def test_a_png_of_sixteen_bits_keeps_them(memory_source):
    wide = np.random.default_rng(1).integers(0, 2**16, (20, 30), dtype=np.uint16)
    data = saved(Image.fromarray(wide), "PNG")
    assert decoded("png", data, memory_source) == [wide.tobytes()]


def test_a_jpeg_for_print_is_refused(memory_source):
    data = saved(Image.fromarray(noise(40, 50, 4), "CMYK"), "JPEG")
    with pytest.raises(CorruptFile, match="its colours are CMYK"):
        decoded("jpeg", data, memory_source)


@pytest.mark.parametrize("name", NAMES)
def test_rows_get_the_first_bytes_of_the_sample(name, encode, memory_source):
    file_format, shape = format_named(name), FileShape((40, 50), 1)
    data = encode(file_format, shape)
    (whole,) = decoded(name, data, memory_source)
    for length in (2000, 1999, 1):
        row = bytearray(length)
        assert file_format.decode_into(memory_source(data), shape, [memoryview(row)])
        assert bytes(row) == whole[:length]
    assert file_format.decode_into(memory_source(data), shape, [None])


@pytest.mark.parametrize("name", NAMES)
def test_another_size_or_number_is_left_to_the_caller(name, encode, memory_source):
    file_format = format_named(name)
    data = encode(file_format, FileShape((40, 50), 1))
    row = memoryview(bytearray(2000))
    assert not file_format.decode_into(memory_source(data), FileShape((40, 51), 1), [row])
    assert not file_format.decode_into(memory_source(data), FileShape((40, 50), 2), [row, row])


@pytest.mark.parametrize("name", NAMES)
@given(position=st.integers(0, 10**6), bit=st.integers(0, 7))
@FUNCTION_FIXTURES
def test_a_flipped_bit_never_gives_a_wrong_picture(encode, memory_source, name, position, bit):
    data = bytearray(encode(format_named(name), FileShape((20, 30), 1)))
    right = decoded(name, bytes(data), memory_source)
    data[position % len(data)] ^= 1 << bit
    row = bytearray(600)
    try:
        got = decoded(name, bytes(data), memory_source)
        format_named(name).decode_into(
            memory_source(bytes(data)), FileShape((20, 30), 1), [memoryview(row)]
        )
    except CorruptFile:
        return
    assert got == right == [bytes(row)]


@pytest.mark.parametrize("is_ours", [True, False])
@pytest.mark.parametrize("name", NAMES)
@given(length=st.integers(0, 10**6))
@FUNCTION_FIXTURES
def test_a_cut_image_is_refused(encode, memory_source, name, is_ours, length):
    data = encode(format_named(name), FileShape((20, 30), 1))
    if not is_ours:
        data = saved(Image.fromarray(noise(20, 30)), name.upper())
    with pytest.raises(CorruptFile, match="damaged data"):
        decoded(name, data[: length % len(data)], memory_source)


def test_a_damaged_chunk_is_found_by_its_place(encode, memory_source):
    data = bytearray(encode(format_named("png"), FileShape((20, 30), 1)))
    data[100] ^= 1
    with pytest.raises(CorruptFile, match=r"a chunk is wrong\n.*memory, byte 33, record"):
        decoded("png", bytes(data), memory_source)


def test_what_libjpeg_only_warns_of_is_refused(memory_source):
    data = saved(Image.fromarray(noise(100, 100)), "JPEG")
    for spoiled in (data[:-2], data[:-200] + data[-2:], data[:-300] + b"\x00" * 10 + data[-2:]):
        with pytest.raises(CorruptFile, match="cannot be decoded"):
            decoded("jpeg", spoiled, memory_source)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"PK\3\4" * 100])
def test_what_is_no_image_is_refused(name, data, memory_source):
    with pytest.raises(CorruptFile, match=r"no (JPEG|PNG) image|cut off"):
        decoded(name, data, memory_source)


@pytest.mark.parametrize("name", NAMES)
@given(st.binary(max_size=200))
@FUNCTION_FIXTURES
def test_no_bytes_give_another_exception(name, memory_source, tail):
    for start in (b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n"):
        with pytest.raises(CorruptFile, match="damaged data"):
            decoded(name, start + tail, memory_source)


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@pytest.mark.parametrize("sides", [(2**31 - 1, 2**31 - 1), (50000, 50000)])
def test_an_image_far_larger_than_its_file_is_refused(sides, memory_source):
    header = chunk(b"IHDR", struct.pack(">2I5B", *sides, 8, 0, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    with pytest.raises(CorruptFile, match=r"gives .* at most"):
        decoded("png", bomb, memory_source)
    jpeg = bytearray(saved(Image.fromarray(noise(8, 8)), "JPEG"))
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = struct.pack(">2H", 65500, 65500)
    with pytest.raises(CorruptFile, match=r"gives .* at most"):
        decoded("jpeg", bytes(jpeg), memory_source)


def test_sides_that_no_jpeg_has_are_an_error_beforehand():
    with pytest.raises(UserError, match="too large for jpeg"):
        format_named("jpeg").file_bytes(FileShape((70000, 10), 1))


def test_a_jpeg_that_was_written_again_with_our_comment_is_refused(encode, memory_source):
    data = encode(format_named("jpeg"), FileShape((40, 50), 1))
    with Image.open(io.BytesIO(data)) as image:
        again = saved(image, "JPEG", quality=50)
    if b"CRC-32" not in again:
        pytest.skip("this Pillow leaves comments out")
    with pytest.raises(CorruptFile, match="its checksum was made of"):
        decoded("jpeg", again, memory_source)


@pytest.mark.parametrize("name", NAMES)
def test_bytes_behind_the_image_do_not_matter(name, memory_source):
    image = Image.fromarray(noise(20, 30))
    data = saved(image, name.upper()) + b"more"
    assert decoded(name, data, memory_source) == [pixels_of(data).tobytes()]
    row = memoryview(bytearray(600))
    shape = FileShape((20, 30), 1)
    assert not format_named(name).decode_into(memory_source(data), shape, [row])

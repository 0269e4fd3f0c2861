"""Synthetic files: a number as text, and samples out of nothing."""

from __future__ import annotations

from named_formats import format_named

from cm4storage.formats.format import FileShape


def test_the_file_holds_its_number(known_content, encode):
    content = encode(format_named("synthetic"), FileShape((10, 10), 3))
    assert content == str(known_content.number).encode()


def test_nothing_is_read(memory_source):
    file_format, source = format_named("synthetic", record_length_bytes=100), memory_source(None)
    samples = [bytes(sample) for sample in file_format.decode(source)]
    row = memoryview(bytearray(3 * 2**20))
    assert file_format.decode_into(source, FileShape((3, 2**20), 1), [row])
    assert bytes(row[:100]) == samples[0]
    assert len(set(row[: 2**20])) == 256

"""Files of checkpoints, as other software and their own reader see them."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from cm4storage.checkpoint.containers import container_of
from cm4storage.checkpoint.encoding import BLOCK_BYTES, Encoding
from cm4storage.checkpoint.layout import Layout
from cm4storage.checkpoint.payload import GeneratedPayload, OnesPayload
from cm4storage.checkpoint.restoring import read_file, read_tensor
from cm4storage.checkpoint.tensors import ELEMENT_BYTES, Tensor
from cm4storage.checkpoint.writing import write_file
from cm4storage.core.errors import UserError
from cm4storage.storage.folders.file import FileStore

if TYPE_CHECKING:
    from pathlib import Path

TENSORS = (
    Tensor("layer_0/0", "F16", (129, 300)),
    Tensor("layer_0/1", "F32", (7, BLOCK_BYTES // 8)),
    Tensor("layer_1/0", "I8", ()),
    Tensor("layer_1/1", "F64", (0, 5)),
    Tensor("rest", "BOOL", (13,)),
)
ENCODINGS = (Encoding(), Encoding(zstd_level=1), Encoding(container="torch"))


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path)


def content(payload: GeneratedPayload, number: int) -> bytes:
    """Return what a tensor must hold."""
    data = bytearray(payload.tensors[number].size_bytes)
    payload.fill(number, 0, memoryview(data))
    return bytes(data)


@pytest.mark.parametrize("encoding", ENCODINGS, ids=str)
def test_every_tensor_is_read_back(store: FileStore, encoding: Encoding) -> None:
    payload = GeneratedPayload(TENSORS, seed=3, rank=1, step=10)
    written = write_file(store, "a/file", payload, encoding, {})
    read: list[bytearray] = [bytearray() for _ in TENSORS]

    def take(number: int, start: int, part: memoryview) -> None:
        assert start == len(read[number])
        read[number] += part

    read_file(store, written, take)
    for number, tensor in enumerate(TENSORS):
        assert read[number] == content(payload, number)
        assert read_tensor(store, written, tensor.name) == content(payload, number)
    assert written.size_bytes == sum(tensor.size_bytes for tensor in TENSORS)
    assert written.stored_bytes == store.stat("a/file").size_bytes


def test_safetensors_reads_the_file(store: FileStore, tmp_path: Path) -> None:
    payload = GeneratedPayload(TENSORS)
    write_file(store, "file", payload, Encoding(), {"origin": "here"})
    arrays = load_file(tmp_path / "file")
    assert {name: (a.shape, a.dtype.name) for name, a in arrays.items()} == {
        "layer_0/0": ((129, 300), "float16"),
        "layer_0/1": ((7, BLOCK_BYTES // 8), "float32"),
        "layer_1/0": ((), "int8"),
        "layer_1/1": ((0, 5), "float64"),
        "rest": ((13,), "bool"),
    }
    for number in range(4):  # the library makes real truth values of the last one
        assert arrays[TENSORS[number].name].tobytes() == content(payload, number)
    raw = (tmp_path / "file").read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    assert json.loads(raw[8 : 8 + length])["__metadata__"] == {"origin": "here"}
    assert (8 + length) % 4096 == 0


def test_zstd_makes_a_safetensors_file_of_the_compressed_one(
    store: FileStore, tmp_path: Path
) -> None:
    payload = GeneratedPayload(TENSORS)
    write_file(store, "plain", payload, Encoding(), {})
    written = write_file(store, "zstd", payload, Encoding(zstd_level=3), {})
    with (tmp_path / "zstd").open("rb") as stream:
        reader = zstandard.ZstdDecompressor().stream_reader(stream, read_across_frames=True)
        assert reader.read() == (tmp_path / "plain").read_bytes()
    assert written.zstd_frames is not None
    assert len(written.zstd_frames) == written.layout.blocks


def test_the_seek_table_is_as_zstd_describes_it(store: FileStore, tmp_path: Path) -> None:
    written = write_file(store, "f", GeneratedPayload(TENSORS), Encoding(zstd_level=1), {})
    raw = (tmp_path / "f").read_bytes()
    frames, descriptor, magic = struct.unpack("<IBI", raw[-9:])
    assert (descriptor, magic) == (0, 0x8F92EAB1)
    table = raw[-9 - 8 * frames : -9]
    pairs = list(struct.iter_unpack("<II", table))
    assert struct.unpack("<II", raw[-17 - 8 * frames : -9 - 8 * frames]) == (
        0x184D2A5E,
        8 * frames + 9,
    )
    assert tuple(compressed for compressed, _ in pairs) == written.zstd_frames
    assert sum(original for _, original in pairs) == written.layout.total_bytes


def test_data_that_can_be_compressed_are(store: FileStore) -> None:
    payload = OnesPayload([Tensor("ones", "F32", (BLOCK_BYTES,))])
    written = write_file(store, "f", payload, Encoding(zstd_level=1), {})
    assert written.stored_bytes < written.size_bytes // 100


@pytest.mark.parametrize("dtype", sorted(set(ELEMENT_BYTES) - {"BF16"}))
def test_ones_are_ones_of_each_type(store: FileStore, tmp_path: Path, dtype: str) -> None:
    write_file(store, "f", OnesPayload([Tensor("a", dtype, (5, 3))]), Encoding(), {})
    assert np.array_equal(load_file(tmp_path / "f")["a"], np.ones((5, 3)))


def test_a_torch_archive_is_a_sound_zip_archive(store: FileStore, tmp_path: Path) -> None:
    payload = GeneratedPayload(TENSORS)
    write_file(store, "f", payload, Encoding(container="torch"), {})
    with zipfile.ZipFile(tmp_path / "f") as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert names[:3] == ["archive/data.pkl", "archive/byteorder", "archive/version"]
        for number in range(len(TENSORS)):
            entry = archive.getinfo(f"archive/data/{number}")
            assert archive.read(entry) == content(payload, number)


def test_a_torch_archive_aligns_its_data(store: FileStore) -> None:
    written = write_file(store, "f", GeneratedPayload(TENSORS), Encoding(container="torch"), {})
    assert [each.offset_bytes % 64 for each in written.tensors] == [0] * len(TENSORS)


@pytest.mark.parametrize("encoding", ENCODINGS, ids=str)
def test_a_file_without_tensors_is_sound(
    store: FileStore, tmp_path: Path, encoding: Encoding
) -> None:
    written = write_file(store, "f", GeneratedPayload([]), encoding, {})
    read_file(store, written)
    raw = (tmp_path / "f").read_bytes()
    if encoding.zstd_level:
        with zstandard.ZstdDecompressor().stream_reader(
            io.BytesIO(raw), read_across_frames=True
        ) as reader:
            raw = reader.read()
    if encoding.container == "torch":
        assert zipfile.ZipFile(io.BytesIO(raw)).testzip() is None
    else:
        assert json.loads(raw[8:]) == {}


def test_the_same_payload_gives_the_same_bytes(store: FileStore, tmp_path: Path) -> None:
    for threads, name in ((1, "one"), (3, "three")):
        write_file(store, name, GeneratedPayload(TENSORS), Encoding(workers=threads), {})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "three").read_bytes()


def test_payloads_differ_by_seed_rank_and_step() -> None:
    places = [{}, {"seed": 1}, {"rank": 1}, {"step": 1}]
    assert len({content(GeneratedPayload(TENSORS, **place), 0) for place in places}) == 4


@given(start=st.integers(0, 5000), length=st.integers(0, 3000))
def test_a_payload_is_the_same_from_any_place(start: int, length: int) -> None:
    payload = GeneratedPayload([Tensor("a", "U8", (8000,))], step=5)
    part = bytearray(length)
    payload.fill(0, start, memoryview(part))
    assert part == content(payload, 0)[start : start + length]


def test_wrong_levels_and_torch_archives_with_zstd_are_refused() -> None:
    with pytest.raises(UserError, match="must be 1 to 22, not 23"):
        Encoding(zstd_level=23)
    with pytest.raises(UserError, match="cannot be compressed"):
        Encoding(container="torch", zstd_level=1)


@settings(max_examples=60)
@given(
    st.lists(
        st.one_of(st.integers(0, 50), st.integers(BLOCK_BYTES - 50, 2 * BLOCK_BYTES + 50)),
        max_size=8,
    ),
    st.sampled_from(["safetensors", "torch"]),
)
def test_blocks_cover_a_file_without_gaps(sizes: list[int], container: str) -> None:
    tensors = [Tensor(f"t/{n}", "U8", (size,)) for n, size in enumerate(sizes)]
    layout = Layout.of(tensors, container_of(container, tensors, {}))
    position, data = 0, [0] * len(tensors)
    for block in range(layout.blocks):
        begin, end = layout.bounds(block)
        assert begin == position
        for span in layout.spans(block):
            assert begin + span.at == position
            if span.is_data:
                assert position == layout.offsets[span.tensor] + span.start
                data[span.tensor] += span.length
            position += span.length
        assert position == end
    assert position + layout.tail_bytes == layout.total_bytes
    assert data == sizes


def test_torch_files_name_every_storage_that_pickle_refers_to(
    store: FileStore, tmp_path: Path
) -> None:
    """The pickle is walked opcode by opcode, without PyTorch."""
    import pickletools

    write_file(store, "f", GeneratedPayload(TENSORS), Encoding(container="torch"), {})
    pickle = zipfile.ZipFile(tmp_path / "f").read("archive/data.pkl")
    texts = [argument for opcode, argument, _ in pickletools.genops(pickle)
             if opcode.name == "BINUNICODE"]  # fmt: skip
    assert texts.count("storage") == len(TENSORS)
    assert [text for text in texts if text.isdigit() and text in "01234"][:1]
    assert {"layer_0", "layer_1", "rest"} <= set(texts)

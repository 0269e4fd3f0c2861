"""Files of checkpoints that have changed since they were written: found, and named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cm4storage.checkpoint.encoding import BLOCK_BYTES, Encoding
from cm4storage.checkpoint.payload import GeneratedPayload
from cm4storage.checkpoint.restoring import (
    DamagedCheckpoint,
    read_file,
    read_tensor,
)
from cm4storage.checkpoint.tensors import Tensor
from cm4storage.checkpoint.writing import write_file
from cm4storage.core.errors import UserError
from cm4storage.storage.folders.file import FileStore

if TYPE_CHECKING:
    from pathlib import Path

    from cm4storage.checkpoint.written import WrittenFile

TENSORS = (
    Tensor("first", "F16", (1000,)),
    Tensor("second", "F32", (BLOCK_BYTES // 4 + 1000,)),
    Tensor("third", "U8", (100_000,)),
)
ENCODINGS = (Encoding(), Encoding(zstd_level=1), Encoding(container="torch"))


@pytest.fixture(params=ENCODINGS, ids=str)
def encoding(request: pytest.FixtureRequest) -> Encoding:
    found = request.param
    assert isinstance(found, Encoding)
    return found


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path)


def written(store: FileStore, encoding: Encoding) -> WrittenFile:
    return write_file(store, "f", GeneratedPayload(TENSORS), encoding, {"a": "b"})


def flip(path: Path, position: int) -> None:
    with path.open("r+b") as file:
        file.seek(position)
        (byte,) = file.read(1)
        file.seek(position)
        file.write(bytes([byte ^ 4]))


def test_a_flipped_bit_is_found_with_its_tensor_and_place(store: FileStore, tmp_path: Path) -> None:
    file = written(store, Encoding())
    second = file.tensors[1]
    flip(tmp_path / "f", second.offset_bytes + BLOCK_BYTES)
    with pytest.raises(DamagedCheckpoint, match="tensor 'second', between its bytes") as caught:
        read_file(store, file)
    assert f"{tmp_path}/f, byte " in caught.value.where
    assert read_tensor(store, file, "third")
    assert read_tensor(store, file, "first")
    with pytest.raises(DamagedCheckpoint, match="tensor 'second'"):
        read_tensor(store, file, "second")


def test_a_flipped_bit_anywhere_is_found(
    store: FileStore, tmp_path: Path, encoding: Encoding
) -> None:
    file = written(store, encoding)
    sound = (tmp_path / "f").read_bytes()
    places = [*range(0, 4200, 331), len(sound) // 2, *range(len(sound) - 900, len(sound), 97)]
    for place in places:
        (tmp_path / "f").write_bytes(sound)
        flip(tmp_path / "f", place)
        with pytest.raises(DamagedCheckpoint, match="the checkpoint is damaged"):
            read_file(store, file)


@settings(
    max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_that_was_cut_is_found_wherever(
    store: FileStore, tmp_path: Path, encoding: Encoding, share: float
) -> None:
    file = written(store, encoding)
    length = int(file.stored_bytes * share)
    with (tmp_path / "f").open("r+b") as stream:
        stream.truncate(length)
    with pytest.raises(DamagedCheckpoint, match="bytes of it are there, and") as caught:
        read_file(store, file)
    if length < file.tensors[-1].offset_bytes and not file.zstd_frames:
        assert ", from tensor '" in caught.value.where


def test_a_cut_names_the_first_tensor_that_is_not_whole(store: FileStore, tmp_path: Path) -> None:
    file = written(store, Encoding())
    with (tmp_path / "f").open("r+b") as stream:
        stream.truncate(file.tensors[1].offset_bytes + 12)
    with pytest.raises(DamagedCheckpoint, match="were written") as caught:
        read_file(store, file)
    assert caught.value.where.endswith("from tensor 'second', byte 12 on")


def test_a_cut_compressed_file_names_the_first_tensor_of_a_lost_block(
    store: FileStore, tmp_path: Path
) -> None:
    file = written(store, Encoding(zstd_level=1))
    assert file.zstd_frames is not None
    with (tmp_path / "f").open("r+b") as stream:
        stream.truncate(file.zstd_frames[0] + 5)
    with pytest.raises(DamagedCheckpoint, match="were written") as caught:
        read_file(store, file)
    assert "from tensor 'second', byte " in caught.value.where


def test_a_longer_file_and_a_missing_one_are_found(
    store: FileStore, tmp_path: Path, encoding: Encoding
) -> None:
    file = written(store, encoding)
    with (tmp_path / "f").open("ab") as stream:
        stream.write(b"more")
    with pytest.raises(DamagedCheckpoint, match="were written"):
        read_file(store, file)
    (tmp_path / "f").unlink()
    with pytest.raises(DamagedCheckpoint, match="file is missing"):
        read_file(store, file)


def test_data_are_handed_over_only_after_they_were_compared(
    store: FileStore, tmp_path: Path, encoding: Encoding
) -> None:
    file = written(store, encoding)
    payload = GeneratedPayload(TENSORS)
    flip(tmp_path / "f", file.stored_bytes // 2)

    def take(number: int, start: int, part: memoryview) -> None:
        right = bytearray(part.nbytes)
        payload.fill(number, start, memoryview(right))
        assert part == right

    with pytest.raises(DamagedCheckpoint, match="damaged"):
        read_file(store, file, take)


def test_a_tensor_that_is_not_there_is_told(store: FileStore) -> None:
    file = written(store, Encoding())
    with pytest.raises(UserError, match="has no tensor 'fourth'"):
        read_tensor(store, file, "fourth")

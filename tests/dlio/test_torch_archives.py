"""PyTorch reads the archives that are written for it."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

from dlio_peer import peer_python

from cm4storage.checkpoint.encoding import BLOCK_BYTES, Encoding
from cm4storage.checkpoint.payload import GeneratedPayload, OnesPayload
from cm4storage.checkpoint.tensors import ELEMENT_BYTES, Tensor
from cm4storage.checkpoint.writing import write_file
from cm4storage.storage.folders.file import FileStore

if TYPE_CHECKING:
    from pathlib import Path

DESCRIBE = """
import hashlib, json, sys, torch
found = {}
for way in ({"weights_only": True}, {"weights_only": True, "mmap": True}):
    state = torch.load(sys.argv[1], **way)
    found = {}
    for layer, tensors in state.items():
        for name, tensor in tensors.items():
            raw = tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
            found[f"{layer}/{name}"] = [
                str(tensor.dtype), list(tensor.shape), hashlib.sha256(raw).hexdigest(),
                bool((tensor == 1).all()),
            ]
    print(json.dumps(found))
"""
TORCH_NAMES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "I16": "int16",
    "I32": "int32",
    "I64": "int64",
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
}


def described(path: Path) -> list[dict[str, list[object]]]:
    """Return what PyTorch finds in a file, in both ways of loading it."""
    python = peer_python()
    assert python is not None
    done = subprocess.run(
        [python, "-c", DESCRIBE, str(path)], capture_output=True, text=True, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_torch_load_gives_every_tensor(tmp_path: Path) -> None:
    import hashlib

    tensors = (
        Tensor("layer_1/0", "F16", (300, 70)),
        Tensor("layer_1/1", "F32", (BLOCK_BYTES // 2,)),
        Tensor("layer_2/0", "I64", (3, 5, 7)),
        Tensor("layer_2/1", "BF16", (0, 4)),
        Tensor("layer_2/2", "U8", ()),
    )
    payload = GeneratedPayload(tensors, step=3)
    write_file(FileStore(tmp_path), "f.pt", payload, Encoding(container="torch"), {})
    for found in described(tmp_path / "f.pt"):
        assert list(found) == [tensor.name for tensor in tensors]
        for number, tensor in enumerate(tensors):
            data = bytearray(tensor.size_bytes)
            payload.fill(number, 0, memoryview(data))
            dtype, shape, digest, _ = found[tensor.name]
            assert dtype == f"torch.{TORCH_NAMES[tensor.dtype]}"
            assert shape == list(tensor.shape)
            assert digest == hashlib.sha256(data).hexdigest()


def test_torch_sees_ones_of_each_type(tmp_path: Path) -> None:
    tensors = [Tensor(f"l/{name}", name, (5, 3)) for name in ELEMENT_BYTES if name in TORCH_NAMES]
    write_file(FileStore(tmp_path), "f.pt", OnesPayload(tensors), Encoding(container="torch"), {})
    for found in described(tmp_path / "f.pt"):
        assert len(found) == len(tensors)
        assert all(is_one for *_, is_one in found.values())

"""The pickle in a PyTorch archive, written opcode by opcode, since its classes are not here.

Source: the protocol in Lib/pickletools.py of Python, and torch/_utils.py of PyTorch.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

from cm4storage.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cm4storage.checkpoint.tensors import Tensor

_STORAGES: Final = {
    "BOOL": "BoolStorage",
    "U8": "ByteStorage",
    "I8": "CharStorage",
    "I16": "ShortStorage",
    "F16": "HalfStorage",
    "BF16": "BFloat16Storage",
    "I32": "IntStorage",
    "F32": "FloatStorage",
    "I64": "LongStorage",
    "F64": "DoubleStorage",
}
_REBUILD: Final = b"ctorch._utils\n_rebuild_tensor_v2\n"
_NO_HOOKS: Final = b"ccollections\nOrderedDict\n)R"


def pickled(tensors: Sequence[Tensor]) -> bytes:
    """Return the dictionary of all tensors; ``/`` in a name goes one dictionary deeper.

    Raises
    ------
    UserError
        For a type that PyTorch has no storage of, or a name that is a tensor and a dictionary.
    """
    root: dict[str, Any] = {}
    for number, tensor in enumerate(tensors):
        *folders, name = tensor.name.split("/")
        place = root
        for folder in folders:
            place = place.setdefault(folder, {})
            if not isinstance(place, dict):
                raise _not_both(tensor.name)
        if name in place:
            raise _not_both(tensor.name)
        place[name] = _tensor(number, tensor)
    return b"\x80\x02" + _dictionary(root) + b"."


def _not_both(name: str) -> UserError:
    return UserError(
        "a name in the state is that of a tensor and that of a dictionary",
        where=name,
        meaning="in files for torch.load each / in a name goes one dictionary deeper",
        advice="rename one of them, or write safetensors",
    )


def _dictionary(items: dict[str, Any]) -> bytes:
    parts = [b"}"]
    for key, value in items.items():
        content = _dictionary(value) if isinstance(value, dict) else value
        parts.append(_text(key) + content + b"s")
    return b"".join(parts)


def _tensor(number: int, tensor: Tensor) -> bytes:
    if tensor.dtype not in _STORAGES:
        raise UserError(
            f"files for torch.load cannot hold elements of type {tensor.dtype}",
            where=tensor.name,
            meaning=f"they can hold {', '.join(_STORAGES)}",
            advice="convert it, or write safetensors",
        )
    storage = (
        b"(" + _text("storage") + f"ctorch\n{_STORAGES[tensor.dtype]}\n".encode()
        + _text(str(number)) + _text("cpu") + _integer(tensor.elements) + b"tQ"
    )  # fmt: skip
    arguments = (
        storage, _integer(0), _integers(tensor.shape), _integers(_strides(tensor.shape)),
        b"\x89", _NO_HOOKS,
    )  # fmt: skip
    return _REBUILD + b"(" + b"".join(arguments) + b"tR"


def _strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides: list[int] = []
    step = 1
    for length in reversed(shape):
        strides.append(step)
        step *= length
    return tuple(reversed(strides))


def _text(value: str) -> bytes:
    encoded = value.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def _integer(value: int) -> bytes:
    if value < 2**31:
        return b"J" + struct.pack("<i", value)
    return b"\x8a\x08" + value.to_bytes(8, "little", signed=True)


def _integers(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(_integer, values)) + b"t"

"""The state of somebody's model and optimizer: nested mappings with arrays in them.

Tensors of PyTorch and arrays of numpy (and of what numpy understands, such as JAX) become the
tensors of a file; everything else (numbers, texts, the nesting itself) becomes its structure.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from cm4storage.checkpoint.tensors import Tensor
from cm4storage.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

_NUMPY: Final = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "U16": "<u2",
    "I16": "<i2",
    "F16": "<f2",
    "U32": "<u4",
    "I32": "<i4",
    "F32": "<f4",
    "U64": "<u8",
    "I64": "<i8",
    "F64": "<f8",
}
_BY_NUMPY_NAME: Final = {
    "bool": "BOOL",
    **{f"uint{8 * size}": f"U{8 * size}" for size in (1, 2, 4, 8)},
    **{f"int{8 * size}": f"I{8 * size}" for size in (1, 2, 4, 8)},
    **{f"float{8 * size}": f"F{8 * size}" for size in (2, 4, 8)},
    "bfloat16": "BF16",
}
_PLAIN: Final = (str, int, float, bool, type(None))
_TAKEN: Final = "__metadata__"
"""No tensor may have this name in a safetensors file."""


class StatePayload:
    """The `Payload` of a state.

    Parameters
    ----------
    state : mapping
        Values are arrays, tensors, numbers, texts, None, or lists, tuples and mappings of these.

    Attributes
    ----------
    tensors : list of Tensor
    structure : object
        The state with references in place of its arrays, as JSON can have it.

    Raises
    ------
    UserError
        If there is something else in the state; its place is named.
    """

    def __init__(self, state: Mapping[str, Any]) -> None:
        self.tensors: list[Tensor] = []
        self._arrays: list[npt.NDArray[np.uint8]] = []
        self._names = {_TAKEN}
        self.structure = self._flat(state, "")

    def fill(self, number: int, start: int, buffer: memoryview) -> None:
        """Copy a part of a tensor; see `Payload.fill`."""
        buffer[:] = self._arrays[number].data[start : start + buffer.nbytes]

    def snapshot(self) -> StatePayload:
        """Return the same with memory of its own, which later steps do not change."""
        copy = object.__new__(StatePayload)
        copy.tensors, copy.structure = self.tensors, self.structure
        copy._arrays = [array.copy() for array in self._arrays]
        return copy

    def _flat(self, value: Any, name: str) -> Any:
        if isinstance(value, Mapping):
            items = [[key, self._flat(each, _below(name, key))] for key, each in value.items()]
            return {"mapping": items}
        if isinstance(value, (list, tuple)):
            items = [self._flat(each, _below(name, n)) for n, each in enumerate(value)]
            return {"tuple" if isinstance(value, tuple) else "list": items}
        if type(value) in _PLAIN:
            if isinstance(value, float) and not math.isfinite(value):
                return {"float": str(value)}  # JSON has neither infinities nor NaN
            return {"value": value}
        return {"tensor": self._add(value, name)}

    def _add(self, value: Any, name: str) -> str:
        dtype, shape, data = _of_torch(value) if _is_torch(value) else _of_numpy(value, name)
        if dtype is None:
            raise UserError(
                f"the state has something that no checkpoint can hold: {type(value).__name__}",
                where=name,
                meaning="arrays, tensors, numbers, texts and their lists and mappings can be saved",
            )
        unique = self._unique(name)
        self.tensors.append(Tensor(unique, dtype, shape))
        self._arrays.append(data)
        return unique

    def _unique(self, name: str) -> str:
        """Return a name that no other tensor has: ``{"a.b": x, "a": {"b": y}}`` has one twice."""
        unique, count = name, 1
        while unique in self._names:
            count += 1
            unique = f"{name}~{count}"
        self._names.add(unique)
        return unique


def _below(name: str, key: object) -> str:
    if isinstance(key, (str, int)):
        return f"{name}.{key}" if name else str(key)
    raise UserError(
        f"the state has a key that is neither text nor number: {key!r}", where=name or "its top"
    )


def _is_torch(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _of_torch(tensor: Any) -> tuple[str | None, tuple[int, ...], npt.NDArray[np.uint8]]:
    """Return type, shape and bytes of a tensor, which is copied only if it is on a device."""
    torch = sys.modules["torch"]
    here = tensor.detach().cpu().contiguous()
    dtype = _BY_NUMPY_NAME.get(str(here.dtype).removeprefix("torch."))
    return dtype, tuple(here.shape), here.reshape(-1).view(torch.uint8).numpy()


def _of_numpy(value: Any, name: str) -> tuple[str | None, tuple[int, ...], npt.NDArray[np.uint8]]:
    import numpy as np

    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"no array can be made of a part of the state: {error}", where=name
        ) from error
    dtype = _BY_NUMPY_NAME.get(array.dtype.name)
    little = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False))
    if dtype is None:
        return None, array.shape, np.empty(0, np.uint8)
    return dtype, array.shape, little.reshape(-1).view(np.uint8)


def array_of(tensor: Tensor, data: bytearray) -> npt.NDArray[Any]:
    """Return the array of a tensor's data; numpy has no bfloat16, which comes as uint16."""
    import numpy as np

    return np.frombuffer(data, _NUMPY.get(tensor.dtype, "<u2")).reshape(tensor.shape)


def nested(structure: Any, arrays: Mapping[str, Any]) -> Any:
    """Return a state as it was handed in, with the arrays of a checkpoint.

    Parameters
    ----------
    structure : object
        That of `StatePayload`.
    arrays : mapping
        By the names of the tensors.
    """
    ((kind, content),) = structure.items()
    if kind == "tensor":
        return arrays[content]
    if kind == "mapping":
        return {key: nested(value, arrays) for key, value in content}
    if kind == "value":
        return content
    if kind == "float":
        return float(content)
    items: Sequence[Any] = [nested(each, arrays) for each in content]
    return tuple(items) if kind == "tuple" else items

"""The file formats of checkpoints, each as the bytes around its tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cm4storage.checkpoint.tensors import Tensor

ContainerName = Literal["safetensors", "torch"]


class Container(Protocol):
    """The layout of one file, known before any of its data.

    A file is `lead(0)`, the data of tensor 0, `lead(1)`, the data of tensor 1, ..., and the tail.
    """

    def lead(self, number: int, crc32_before: int = 0) -> bytes:
        """Return what stands before the data of tensor `number`; its length never changes.

        Parameters
        ----------
        number : int
        crc32_before : int
            The CRC-32 of the data of the tensor before; looked at only if `wants_crc32`.
        """

    @property
    def tail_bytes(self) -> int:
        """The length of what stands behind the data of the last tensor."""

    def tail(self, crc32_of: Sequence[int]) -> bytes:
        """Return what stands behind the data of the last tensor.

        Parameters
        ----------
        crc32_of : sequence of int
            The CRC-32 of each tensor's data; empty unless `wants_crc32`.
        """

    @property
    def wants_crc32(self) -> bool:
        """Whether leads and tail need the CRC-32 of each tensor."""


def container_of(
    name: ContainerName, tensors: Sequence[Tensor], metadata: Mapping[str, str]
) -> Container:
    """Return the layout of a file.

    Parameters
    ----------
    name : {'safetensors', 'torch'}
    tensors : sequence of Tensor
    metadata : mapping of str to str
        Kept in the file where its format has a place for it.
    """
    if name == "torch":
        from cm4storage.checkpoint.containers.torch_archive import TorchArchive

        return TorchArchive(tensors)
    from cm4storage.checkpoint.containers.safetensors import Safetensors

    return Safetensors(tensors, metadata)

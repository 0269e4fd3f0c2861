"""What is known of a file of a checkpoint that has been written: enough to check every byte."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import xxhash

from cm4storage.checkpoint.layout import Layout
from cm4storage.checkpoint.tensors import Tensor
from cm4storage.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cm4storage.checkpoint.containers import ContainerName


@dataclass(frozen=True)
class StoredTensor:
    """A tensor and where it is.

    Attributes
    ----------
    tensor : Tensor
    offset_bytes : int
        Where its data begin in the file, before compression.
    pieces : tuple of str
        The XXH3 (128 bits, in hex) of each part that the blocks of the file cut it into.
    """

    tensor: Tensor
    offset_bytes: int
    pieces: tuple[str, ...]

    @property
    def digest(self) -> str:
        """The XXH3 of the data, or of the pieces' digests where there are several."""
        if len(self.pieces) == 1:
            return self.pieces[0]
        return xxhash.xxh3_128_hexdigest("".join(self.pieces).encode())


@dataclass(frozen=True)
class WrittenFile:
    """One file of a checkpoint.

    Attributes
    ----------
    key : str
        Its key in the store.
    container : {'safetensors', 'torch'}
    tensors : tuple of StoredTensor
    frame_digest : str
        The XXH3 of everything but the tensors' data: the header, what is between them, the tail.
    tail_bytes : int
    stored_bytes : int
        The length of the file as it is stored.
    zstd_frames : tuple of int or None
        The lengths of the compressed blocks, without the table at the end; None: not compressed.
    """

    key: str
    container: ContainerName
    tensors: tuple[StoredTensor, ...]
    frame_digest: str
    tail_bytes: int
    stored_bytes: int
    zstd_frames: tuple[int, ...] | None = None

    @cached_property
    def layout(self) -> Layout:
        """Where everything is before compression."""
        return Layout(
            [each.offset_bytes for each in self.tensors],
            [each.tensor.size_bytes for each in self.tensors],
            self.tail_bytes,
        )

    @property
    def size_bytes(self) -> int:
        """The data of all tensors."""
        return sum(each.tensor.size_bytes for each in self.tensors)

    @property
    def digest(self) -> str:
        """The XXH3 of the digests of the frame and of all tensors: of all that is in the file."""
        parts = [self.frame_digest, *(each.digest for each in self.tensors)]
        return xxhash.xxh3_128_hexdigest("".join(parts).encode())

    def number_of(self, name: str) -> int:
        """Return the number of the tensor of that name.

        Raises
        ------
        UserError
            If there is none.
        """
        for number, each in enumerate(self.tensors):
            if each.tensor.name == name:
                return number
        raise UserError(
            f"the checkpoint has no tensor {name!r}",
            where=self.key,
            advice=f"it has, for one, {self.tensors[0].tensor.name!r}" if self.tensors else "",
        )

    def to_document(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "key": self.key,
            "container": self.container,
            "size_bytes": self.size_bytes,
            "stored_bytes": self.stored_bytes,
            "tail_bytes": self.tail_bytes,
            "frame_digest": self.frame_digest,
            "zstd_frames_bytes": None if self.zstd_frames is None else list(self.zstd_frames),
            "tensors": [
                {
                    "name": each.tensor.name,
                    "dtype": each.tensor.dtype,
                    "shape": list(each.tensor.shape),
                    "offset_bytes": each.offset_bytes,
                    "size_bytes": each.tensor.size_bytes,
                    "digest": each.digest,
                    "pieces": list(each.pieces),
                }
                for each in self.tensors
            ],
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> WrittenFile:
        """Return what `to_document` has written; a KeyError or TypeError says that it did not."""
        frames = document["zstd_frames_bytes"]
        return cls(
            key=document["key"],
            container=document["container"],
            tensors=tuple(map(_stored_tensor, document["tensors"])),
            frame_digest=document["frame_digest"],
            tail_bytes=document["tail_bytes"],
            stored_bytes=document["stored_bytes"],
            zstd_frames=None if frames is None else tuple(frames),
        )


def _stored_tensor(document: Mapping[str, Any]) -> StoredTensor:
    tensor = Tensor(document["name"], document["dtype"], tuple(document["shape"]))
    return StoredTensor(tensor, document["offset_bytes"], tuple(document["pieces"]))

"""Which settings a format has: compression, and the layout of HDF5 datasets."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cm4storage.core.errors import UserError

if TYPE_CHECKING:
    from cm4storage.workload.model import Workload
    from cm4storage.workload.sections import DatasetSection

COMPRESSIONS: dict[str, tuple[str, ...]] = {
    "npz": ("zip",),
    "npy": (),
    "hdf5": ("gzip", "lzf"),
    "tfrecord": (),
    "csv": ("gzip", "bz2", "zip", "xz"),
    "jpeg": (),
    "png": (),
    "indexed_binary": (),
    "mmap_indexed_binary": (),
    "synthetic": (),
}
"""What ``dataset.compression`` may be beside ``none``, by format."""


def check_format_settings(workload: Workload, source: str) -> None:
    """Refuse settings that the format of the files does not have.

    Raises
    ------
    UserError
        Naming the key, its value and the rule.
    """
    dataset = workload.dataset
    _compression(dataset, source)
    if dataset.format == "hdf5":
        _hdf5(dataset, source)


def _compression(dataset: DatasetSection, source: str) -> None:
    name, compression = dataset.format, dataset.compression
    allowed = COMPRESSIONS.get(name)
    if allowed is None or compression in ("none", *allowed):
        return
    raise UserError(
        f"dataset.compression: {name} files cannot be compressed by {compression}",
        where=source,
        meaning=f"{name} has {', '.join(allowed) or 'no compression'}; DLIO passes over this key "
        "or fails",
        advice=f"use {' or '.join(('none', *allowed))}; none gives the files that DLIO writes "
        "where it passes over the key",
    )


def _hdf5(dataset: DatasetSection, source: str) -> None:
    """Hold the keys ``dataset.hdf5`` to what h5py can make of them."""
    count, dims = dataset.hdf5_num_dset_per_record, dataset.record_dims
    if count > 1 and (not dims or dims[0] % count):
        raise UserError(
            f"dataset.hdf5.num_dset_per_record: a record of {_shown(dims)} has no {count} equal "
            "parts along its first dimension",
            where=source,
            advice="give dataset.record_dims whose first number is a multiple of it",
        )
    sides = _sides(dataset)
    _fits(dataset.hdf5_max_shape, sides, "max_shape", source)
    samples_and_sides = (dataset.num_samples_per_file, *sides)
    _fits(dataset.hdf5_chunk_dims, samples_and_sides, "chunk_dims", source)
    is_fixed = dims or not dataset.record_length_bytes_stdev
    if is_fixed and any(map(int.__lt__, dataset.hdf5_max_shape, sides)):
        raise UserError(
            f"dataset.hdf5.max_shape: {_shown(dataset.hdf5_max_shape)} is less than a record's "
            f"{_shown(sides)}",
            where=source,
        )
    if is_fixed and any(map(int.__gt__, dataset.hdf5_chunk_dims, samples_and_sides)):
        raise UserError(
            f"dataset.hdf5.chunk_dims: a chunk of {_shown(dataset.hdf5_chunk_dims)} is larger than "
            f"the dataset of {_shown(samples_and_sides)}",
            where=source,
        )


def _sides(dataset: DatasetSection) -> tuple[int, ...]:
    """Return the sides of a record in an HDF5 dataset; a first one of record_dims is left out."""
    if not dataset.record_dims:
        side = int(math.sqrt(dataset.record_length_bytes))
        return side, side
    first, *others = dataset.record_dims
    first //= dataset.hdf5_num_dset_per_record
    return (*others,) if first == 1 else (first, *others)


def _fits(given: tuple[int, ...], sides: tuple[int, ...], key: str, source: str) -> None:
    if given and (len(given) != len(sides) or min(given) < 1):
        what = "samples and " if key == "chunk_dims" else ""
        raise UserError(
            f"dataset.hdf5.{key}: {_shown(given)} is not {len(sides)} numbers of at least 1",
            where=source,
            meaning=f"it is the number of {what}elements along each dimension of a dataset, here "
            f"of {_shown(sides)}",
        )


def _shown(sides: tuple[int, ...]) -> str:
    return " x ".join(map(str, sides)) or "no given dimensions"

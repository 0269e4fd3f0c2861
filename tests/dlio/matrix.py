"""The formats that both sides have, and how software of neither reads one file of each."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pandas as pd
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dlio_peer import Peer

    Reader = Callable[[list[Path], Peer], list[list[str]]]
    """Returns the SHA-256 of each sample of each file."""


def digests(samples):
    return [hashlib.sha256(sample).hexdigest() for sample in samples]


def read_npz(paths, _peer):
    return [_last_axis(np.load(path)["x"]) for path in paths]


def read_npy(paths, _peer):
    return [_last_axis(np.load(path)) for path in paths]


def _last_axis(records):
    return digests(records[..., number].tobytes() for number in range(records.shape[-1]))


def read_image(paths, _peer):
    return [digests([np.asarray(Image.open(path)).tobytes()]) for path in paths]


def read_hdf5(paths, _peer):
    return [_hdf5(path) for path in paths]


def _hdf5(path):
    """Return the samples; we link the first dataset under the wheel's name, too."""
    with h5py.File(path) as file:
        names = ["records"] if "records" in file else sorted(set(file) - {"labels"})
        parts = [_rows(file[name]) for name in names]
    return digests(b"".join(rows) for rows in zip(*parts, strict=True))


def _rows(dataset):
    return [row.tobytes() for row in dataset[()]]


def read_csv(paths, _peer):
    return [digests(_csv_rows(path)) for path in paths]


def _csv_rows(path):
    """Return the samples; the wheel writes a header, and before each row its number."""
    table = pd.read_csv(path, header=None)
    if np.isnan(table.iloc[0, 0]):
        table = table.iloc[1:, 1:]
    return [row.astype(np.uint8).tobytes() for row in table.to_numpy()]


def read_indexed(paths, _peer):
    return [digests(_slices(path)) for path in paths]


def _slices(path):
    """Return the samples by their sizes: DLIO counts offsets anew with each chunk it writes."""
    data, sizes = path.read_bytes(), np.fromfile(f"{path}.sz.idx", np.int64)
    return [data[end - size : end] for end, size in zip(np.cumsum(sizes), sizes, strict=True)]


_TENSORFLOW = """
import hashlib, json, sys
import tensorflow as tf

features = {
    "image": tf.io.FixedLenFeature([], tf.string),
    "size": tf.io.FixedLenFeature([], tf.int64),
}

def digests(path):
    for record in tf.data.TFRecordDataset(path):
        example = tf.io.parse_single_example(record, features)
        yield hashlib.sha256(example["image"].numpy()).hexdigest()

print(json.dumps([list(digests(path)) for path in sys.argv[1:]]))
"""


def read_tfrecord(paths, peer):
    return peer.evaluate(_TENSORFLOW, *map(str, paths))


@dataclass(frozen=True)
class Case:
    """One format.

    Attributes
    ----------
    framework : str
        The one that DLIO reads it with.
    read : callable
        Who reads it beside both.
    samples_per_file : int
    folders : int
        Sub-folders of the training files.
    unseen : int
        How many of a file's samples the wheel does not see of ours.
    """

    framework: str
    read: Reader
    samples_per_file: int = 3
    folders: int = 0
    unseen: int = 0


CASES = {
    "npz": Case("pytorch", read_npz, folders=2),
    "npy": Case("pytorch", read_npy),
    "tfrecord": Case("tensorflow", read_tfrecord),
    "jpeg": Case("pytorch", read_image, samples_per_file=1),
    "png": Case("pytorch", read_image, samples_per_file=1),
    # The wheel takes the first line for names, which the sources of 2026 do not write.
    "csv": Case("pytorch", read_csv, unseen=1),
    "hdf5": Case("pytorch", read_hdf5),
    "indexed_binary": Case("pytorch", read_indexed),
    "mmap_indexed_binary": Case("pytorch", read_indexed),
}


def document(name: str) -> dict[str, object]:
    """Return a small workload of the format `name` in the dialect of the wheel."""
    case = CASES[name]
    return {
        "model": "tiny",
        "framework": case.framework,
        "workflow": {"generate_data": False, "train": True},
        "dataset": {
            "format": name,
            "num_files_train": 6,
            "num_samples_per_file": case.samples_per_file,
            "num_subfolders_train": case.folders,
            "record_length": 4000,
            "record_length_stdev": 700,
            "record_length_resize": 10_000,  # more than any sample has
            "generation_buffer_size": 2**13,
        },
        "reader": {"data_loader": case.framework, "batch_size": 2, "read_threads": 2},
        "train": {"epochs": 2, "computation_time": 0.001},
    }

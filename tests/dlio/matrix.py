"""The formats that both sides have, and how software of neither reads one file of each."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dlio_peer import Peer

    Reader = Callable[[Path, Peer], list[str]]
    """Returns the SHA-256 of each sample of a file."""


def digests(samples):
    return [hashlib.sha256(sample).hexdigest() for sample in samples]


def read_npz(path, _peer):
    records = np.load(path)["x"]
    return digests(records[..., number].tobytes() for number in range(records.shape[-1]))


_TENSORFLOW = """
import hashlib, json, sys
import tensorflow as tf

features = {"image": tf.io.FixedLenFeature([], tf.string), "size": tf.io.FixedLenFeature([], tf.int64)}
records = tf.data.TFRecordDataset(sys.argv[1])
examples = [tf.io.parse_single_example(record, features) for record in records]
print(json.dumps([hashlib.sha256(e["image"].numpy()).hexdigest() for e in examples]))
"""


def read_tfrecord(path, peer):
    return peer.evaluate(_TENSORFLOW, str(path))


@dataclass(frozen=True)
class Case:
    """One format: the framework that DLIO reads it with, and who reads it beside both."""

    framework: str
    read: Reader
    samples_per_file: int = 3


CASES = {
    "npz": Case("pytorch", read_npz),
    "tfrecord": Case("tensorflow", read_tfrecord),
}


def document(name: str, **dataset: object) -> dict[str, object]:
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
            "record_length": 4000,
            "record_length_stdev": 700,
            "generation_buffer_size": 2**16,
            **dataset,
        },
        "reader": {"data_loader": case.framework, "batch_size": 2, "read_threads": 2},
        "train": {"epochs": 2, "computation_time": 0.001},
    }

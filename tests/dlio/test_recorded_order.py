"""dlio-benchmark and TensorFlow have the orders that ``reader.order=dlio`` reproduces."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from dlio_peer import TIMEOUT_S

from cm4storage.loader.tf_shuffle import iteration_seeds, shuffled

HERE = Path(__file__).parent
CASES = json.loads((HERE.parent / "loader" / "dlio_orders.json").read_text(encoding="utf-8"))
ITERATIONS = 4

_SHUFFLES = """
import json, sys
import tensorflow as tf

def orders(size, buffer_size, seed):
    numbers = tf.data.Dataset.range(size).shuffle(buffer_size, seed=seed)
    return [[int(n) for n in numbers.as_numpy_iterator()] for _ in range(int(sys.argv[2]))]

print(json.dumps([orders(*case) for case in json.loads(sys.argv[1])]))
"""


def test_shuffles_are_those_of_tensorflow(peer):
    cases = [
        (size, buffer_size, seed)
        for size in (0, 1, 2, 5, 37, 200, 3000)
        for buffer_size in (1, 2, 7, 64, 1024)
        for seed in (0, 1, 123, 2**31 - 1, 2**31, 2**40 + 5)
    ]
    found = peer.evaluate(_SHUFFLES, json.dumps(cases), str(ITERATIONS))
    for (size, buffer_size, seed), orders in zip(cases, found, strict=True):
        for number, order in enumerate(orders):
            seeds = iteration_seeds(seed, number)
            assert list(shuffled(range(size), buffer_size, seeds)) == order, (size, buffer_size)


@pytest.mark.parametrize("name", CASES)
def test_dlio_reads_in_the_recorded_order(name, peer, tmp_path):
    document = nested(CASES[name]["settings"])
    document["workflow"] = {"generate_data": True, "train": True, **document.pop("workflow", {})}
    document["dataset"]["data_folder"] = str(tmp_path / "data")
    record = tmp_path / "record.json"
    command = [str(peer.python), str(HERE / "recording.py"), *peer.command(document, name)[1:]]
    done = subprocess.run(
        command, cwd=peer.folder, env=peer.environment | {"RECORD": str(record)}, check=False,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    recorded = json.loads(record.read_text())
    assert {split: epochs for split, epochs in recorded.items() if epochs} == (
        CASES[name]["recorded"]
    )


def nested(settings):
    """Return settings by path as a document in the wheel's dialect."""
    document: dict[str, dict[str, object]] = {"model": "tiny"}
    for path, value in settings.items():
        section, _, key = path.partition(".")
        if key:
            document.setdefault(section, {})[key.replace("_bytes", "")] = value
        else:
            document[section] = value
    return document

"""DLIO trains on what we generate, we train on what DLIO generates, and every byte is the same."""

from __future__ import annotations

import contextlib
import math
import os
from itertools import islice
from pathlib import Path

import pytest
from matrix import CASES, digests, document
from running import Ours, record_of, saved

from cm4storage.core.progress import NoProgress
from cm4storage.dataset.foreign import open_foreign
from cm4storage.formats.format import format_of
from cm4storage.loader.limits import Limits
from cm4storage.loader.plugins import Plugins
from cm4storage.loader.running import Trainer
from cm4storage.ranks.communicator import SingleProcess
from cm4storage.storage.location import StoreLocation
from cm4storage.workload.plan import Plan, Split

EPOCHS = 2


class FileSource:
    """A file as the `Source` that formats read from."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = str(path)

    @contextlib.contextmanager
    def read(self, start, length):
        data = self._path.read_bytes()
        yield memoryview(data)[start : None if length is None else start + length]

    def scatter(self, start, buffers):
        with self._path.open("rb") as stream:
            return os.preadv(stream.fileno(), buffers, start)

    def sibling(self, suffix):
        return FileSource(Path(f"{self._path}{suffix}"))


def assert_peer_trained(done, workload):
    assert done.returncode == 0, done.output
    assert "Traceback" not in done.output
    assert "[ERROR]" not in done.output
    assert done.steps() == [workload.steps_per_epoch()] * EPOCHS
    summary = done.document("summary.json")
    assert summary["epochs"] == EPOCHS
    assert summary["num_files_train"] == workload.dataset.num_files_train


@pytest.mark.parametrize("name", CASES)
def test_dlio_trains_on_our_data_set(name, peer, tmp_path):
    what, ours = document(name), Ours(tmp_path)
    path, workload = saved(what, tmp_path)
    ours.resolve(path)
    data = ours.generate()
    what["dataset"]["data_folder"] = str(data)
    what["dataset"]["num_samples_per_file"] -= CASES[name].unseen
    assert_peer_trained(peer.run(what, "tiny"), saved(what, tmp_path, "seen")[1])
    assert_every_sample(workload, data, peer)
    ours.call("verify", "--workload=workload.json", "--data_dir=data", "--contents")


@pytest.mark.parametrize("name", CASES)
def test_we_train_on_the_data_set_of_dlio(name, peer, tmp_path):
    what, ours, data = document(name), Ours(tmp_path), tmp_path / "foreign"
    path, workload = saved(what, tmp_path)
    what["dataset"]["data_folder"] = str(data)
    what["workflow"]["generate_data"] = True
    assert_peer_trained(peer.run(what, "tiny"), workload)
    before = sorted(data.rglob("*"))
    ours.resolve(path)
    record = record_of(ours.run(f"--data_dir={data}", "--foreign"))
    assert record["data_set"]["manifest"]["files"] == workload.dataset.num_files_train
    steps = workload.steps_per_epoch()
    assert [len(epoch["wait_s"]) for epoch in record["epochs"]] == [steps] * EPOCHS
    assert sorted(data.rglob("*")) == before
    assert_every_sample(workload, data, peer)


def assert_every_sample(workload, data, peer):
    """Check that we read, and hand over, the same bytes as software that is neither's reads."""
    dataset, plan = workload.dataset, Plan.of(workload)
    paths = [data / plan.key(Split.TRAIN, index) for index in range(dataset.num_files_train)]
    expected = CASES[dataset.format].read(paths, peer)
    shapes, file_format = plan.shapes(), format_of(dataset)
    sizes = [math.prod(shapes(index)) for index in range(len(paths))]
    for path, size_bytes, of_file in zip(paths, sizes, expected, strict=True):
        samples = [bytes(sample) for sample in file_format.decode(FileSource(path))]
        assert digests(samples) == of_file
        assert [len(sample) for sample in samples] == [size_bytes] * dataset.num_samples_per_file
    ids, rows = handed_over(workload, data)
    assert sorted(ids) == list(range(workload.total_samples))
    for number, row in zip(ids, rows, strict=True):
        index, place = divmod(number, dataset.num_samples_per_file)
        assert digests([row[: sizes[index]]]) == [expected[index][place]]
        assert not any(row[sizes[index] :])


def handed_over(workload, data):
    """Return the samples of an epoch, and the rows that its steps were handed for them."""
    rows = []

    def step(batch, _duration_s):
        rows.extend(bytes(row) for row in batch)

    plugins = Plugins(compute_step=lambda _workload: step)
    with open_foreign(workload, StoreLocation.parse(str(data))) as dataset:
        ranks, progress = SingleProcess(), NoProgress()
        trainer = Trainer(workload, dataset.store, ranks, progress, plugins=plugins)
        outcome = trainer.run(Limits(max_epochs=1))
    return list(islice(outcome.order(1).ids(len(rows)), len(rows))), rows

"""``time_series.csv``: what it says while a run goes on, and that a killed run leaves it."""

from __future__ import annotations

import errno
import io
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

import cm4storage
from cm4storage.core.progress import NoProgress
from cm4storage.dataset.opening import open_dataset
from cm4storage.dataset.preparation import prepare
from cm4storage.loader.limits import Limits
from cm4storage.loader.plugins import Plugins
from cm4storage.loader.running import Trainer
from cm4storage.loader.sampling import Sampler, sampled
from cm4storage.ranks.communicator import SingleProcess
from cm4storage.results.time_series import HEADER
from cm4storage.storage.location import StoreLocation

PARAMS = (
    "dataset.num_files_train=10 dataset.record_length_bytes=5000 "
    "dataset.record_length_bytes_stdev=0 dataset.record_length_bytes_resize=0 "
    "reader.batch_size=2 train.computation_time=0.03 train.epochs=3"
)


class Heard(NoProgress):
    """Keeps the details that it is to show."""

    def __init__(self):
        self.details = []

    def advance(self, units, detail=""):
        if not units:
            self.details.append(detail)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return StoreLocation.parse(str(tmp_path_factory.mktemp("series") / "data"))


def run(root, params="", stream=None, progress=None, plugins=None):
    """Run, and return the rows and the outcome."""
    resolved = cm4storage.load_workload("unet3d_h100", f"{PARAMS} {params}", scale="quick")
    workload = resolved.workload
    prepare(workload, root, NoProgress(), lambda _line: None)
    stream, progress = stream or io.StringIO(), progress or NoProgress()
    with open_dataset(workload, root) as dataset:
        trainer = Trainer(workload, dataset.store, SingleProcess(), progress, plugins=plugins)
        sampler = Sampler(trainer, workload.output.exclude_start_steps)
        with sampled(sampler, progress, stream, period_s=0.05):
            outcome = trainer.run(Limits())
    table = pd.read_csv(io.StringIO(stream.getvalue()))
    return table, outcome


@pytest.mark.parametrize("read_type", ["on_demand", "memory"])
def test_the_rows_add_up_to_the_run(root, read_type):
    heard = Heard()
    table, outcome = run(root, f"reader.read_type={read_type}", progress=heard)
    assert ",".join(table.columns) + "\n" == HEADER
    assert len(table) >= 5
    intervals_s = table["elapsed_s"].diff().fillna(table["elapsed_s"])
    assert (intervals_s > 0).all()
    read_bytes = (table["read_mib_per_s"] * intervals_s).sum() * 2**20
    total_bytes = sum(epoch.bytes_read for epoch in outcome.epochs)
    assert read_bytes == pytest.approx(total_bytes, rel=1e-3)
    operations = (table["operations_per_s"] * intervals_s).sum()
    assert operations == pytest.approx(outcome.counters.io.count, rel=1e-3)
    assert table["steps"].is_monotonic_increasing
    assert table["steps"].iloc[-1] == 15
    assert table["queue_depth"].dropna().between(0, 2).all()
    assert (table["memory_bytes"] > 2**20).all()
    waits = [each for epoch in outcome.epochs for each in epoch.wait_s]
    assert table["wait_p99_so_far_ms"].iloc[-1] == pytest.approx(max(waits) * 1e3, rel=0.02)
    assert "0 errors" in heard.details[-1]


def test_the_utilization_so_far_ends_near_that_of_the_report(root):
    table, outcome = run(root)
    compute_s = sum(sum(epoch.compute_s[1:]) for epoch in outcome.epochs)
    total_s = sum(epoch.duration_s - epoch.process_s[0] for epoch in outcome.epochs)
    so_far = table["au_so_far_percent"].dropna()
    assert (so_far <= 100).all()
    # Only what follows the last step of each epoch is not in it.
    assert compute_s / total_s * 100 <= so_far.iloc[-1]
    inside_s = sum(sum(epoch.process_s[1:]) for epoch in outcome.epochs)
    assert so_far.iloc[-1] <= compute_s / inside_s * 100


def test_a_loader_of_ones_own_has_no_queue(root):
    class Loader:
        def __init__(self, workload, store, files):
            self._store, self._files, self._size = store, files, workload.reader.batch_size

        def batches(self, epoch, steps):
            del epoch
            for step in range(steps):
                with self._store.read(self._files.key(step)) as view:
                    yield [len(view)] * self._size

    table, outcome = run(root, plugins=Plugins(loader=Loader))
    assert table["queue_depth"].isna().all()
    intervals_s = table["elapsed_s"].diff().fillna(table["elapsed_s"])
    total_bytes = sum(epoch.bytes_read for epoch in outcome.epochs)
    read_bytes = (table["read_mib_per_s"] * intervals_s).sum() * 2**20
    assert read_bytes == pytest.approx(total_bytes, rel=1e-3)


class Full(io.StringIO):
    """A file on a disk that is full after the header."""

    def write(self, text):
        if self.tell():
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(text)


def test_a_full_disk_ends_the_series_and_not_the_run(root):
    table, outcome = run(root, stream=Full())
    assert len(table) == 0
    assert len(outcome.epochs) == 3


def test_a_killed_run_leaves_its_rows(root, tmp_path):
    resolved = cm4storage.load_workload(
        "unet3d_h100", f"{PARAMS} train.computation_time=0.4 train.epochs=50", scale="quick"
    )
    prepare(resolved.workload, root, NoProgress(), lambda _line: None)
    resolved.save(tmp_path / "workload.json")
    words = ["run", "--workload=workload.json", f"--data_dir={root.path}", "--results_dir=results"]
    process = subprocess.Popen([sys.executable, "-m", "cm4storage", *words, "-q"], cwd=tmp_path)
    deadline = time.monotonic() + 60
    while len(rows := written(tmp_path)) < 3:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = written(tmp_path)
    assert kept[: len(rows)] == rows
    assert kept[0] == HEADER.strip()
    assert all(len(row.split(",")) == len(HEADER.split(",")) for row in kept)


def written(folder):
    """Return the lines of the series of the run that is going on."""
    paths = list((folder / "results").rglob("time_series.csv"))
    return paths[0].read_text(encoding="ascii").splitlines() if paths else []

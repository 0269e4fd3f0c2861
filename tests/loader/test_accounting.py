"""What is counted is what happened: stages, splits, plugins, orders and errors."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest
from running_jobs import folder_of, run

import cm4storage
from cm4storage.core.errors import StorageFault, UserError
from cm4storage.loader.file_reader import ReadCounters, StoredFile
from cm4storage.loader.limits import Conduct, Limits
from cm4storage.loader.plugins import Plugins
from cm4storage.report.table import render
from cm4storage.results import figures, records
from cm4storage.results.report_files import build_report
from cm4storage.storage import page_cache
from cm4storage.storage.folders.file import FileStore
from cm4storage.storage.location import StoreLocation
from cm4storage.storage.wrapper import StoreWrapper

SMALL = {
    "dataset.num_files_train": 6,
    "dataset.record_length_bytes": 4096,
    "dataset.record_length_bytes_stdev": 0,
    "dataset.record_length_bytes_resize": 0,
    "reader.batch_size": 2,
    "train.computation_time": 0,
    "train.epochs": 1,
}


def readers_at_work():
    return [each for each in threading.enumerate() if each.name.startswith("reader-")]


def test_the_time_of_a_companion_counts_as_reading(tmp_path):
    class Slow(StoreWrapper):
        def scatter(self, key, buffers, *, start=0):
            return super().scatter(key, buffers, start=start)

    store = Slow(FileStore(tmp_path))
    store.write("a", [memoryview(b"0123")])
    store.write("a.idx", [memoryview(b"4567")])
    file = StoredFile(store, "a", ReadCounters())
    file.scatter(0, [memoryview(bytearray(4))])
    before_s = file.io_s
    with file.sibling(".idx").read(0, None):
        pass
    assert file.io_s > before_s


def test_a_file_that_is_not_as_expected_is_read_once_more(tmp_path):
    overrides = SMALL | {"reader.read_threads": 1, "reader.file_shuffle": "off"}
    overrides["reader.sample_shuffle"] = "off"
    workload, root = cm4storage.load_workload("unet3d_h100", overrides), tmp_path / "data"
    folder = folder_of(workload.workload, StoreLocation.parse(str(root)))

    def replace():
        last = folder / "train/img_5_of_6.npz"
        record = np.load(last)["x"]
        np.savez(last, y=np.zeros(1, np.int64), x=record)

    outcome = run(workload.workload, StoreLocation.parse(str(root)), once_open=replace)
    assert outcome.counters.samples == 6
    assert outcome.counters.io.count == 6 + 1


def test_the_stages_are_those_of_the_training(small_workload, root):
    params = "train.epochs=1 dataset.num_files_eval=10 reader.batch_size_eval=2"
    workload = small_workload(f"{params} workflow.evaluation=true evaluation.eval_time=0")
    folder_of(workload, root)
    outcome = run(workload, root)
    assert outcome.evaluations[0].bytes_read > 0
    assert outcome.counters.samples == outcome.counters.decode.count == 10
    assert outcome.counters.bytes_read == outcome.epochs[0].bytes_read


def test_skipped_files_of_evaluations_are_told(tmp_path):
    overrides = SMALL | {
        "workflow.evaluation": True,
        "dataset.num_files_eval": 4,
        "reader.batch_size_eval": 2,
        "evaluation.eval_time": 0,
    }
    workload = cm4storage.load_workload("unet3d_h100", overrides)
    cm4storage.run(workload, data_dir=tmp_path / "data")
    damaged = next((tmp_path / "data").glob("**/valid/*_0_of_4.npz"))
    content = bytearray(damaged.read_bytes())
    content[2000] ^= 1
    damaged.write_bytes(content)
    conduct = Conduct(on_error="skip")
    report = cm4storage.run(workload, data_dir=tmp_path / "data", conduct=conduct)
    document = report.to_json()
    assert document["skipped_files"] == 1
    assert "_0_of_4.npz" in document["first_faults"][0]


def test_a_cold_run_may_skip_a_missing_file(small_workload, root):
    workload = small_workload("reader.file_shuffle=off train.epochs=1")
    files = sorted((folder_of(workload, root) / "train").iterdir())
    conduct = Conduct(on_error="skip", is_cold=True)
    outcome = run(workload, root, conduct=conduct, once_open=files[3].unlink)
    assert outcome.epochs[0].skipped_files == 1


def test_a_cold_run_evicts_the_indexes_too(small_workload, root):
    params = "dataset.format=indexed_binary train.epochs=1 dataset.record_length_bytes=100000"
    workload = small_workload(params)
    folder = folder_of(workload, root)
    paths = [str(path) for path in (folder / "train").iterdir()]
    page_cache.evict(paths)
    if page_cache.residency(paths).fraction != 0.0:
        pytest.skip("this file system keeps its pages: it is memory")
    for path in paths:
        Path(path).read_bytes()
    shares = []

    class Looking:
        """Looks at the cache before the only batch is read, with the reader that has not read."""

        def __init__(self, _dataset):
            indexes = [path for path in paths if path.endswith(".idx")]
            shares.append(page_cache.residency(indexes).fraction)
            from cm4storage.formats.format import format_of

            self.format = format_of(_dataset)

        def decode(self, source):
            return self.format.decode(source)

    conduct = Conduct(is_cold=True)
    run(small_workload(f"{params} reader.read_threads=1"), root, conduct=conduct,
        plugins=Plugins(reader=Looking))  # fmt: skip
    assert shares == [0.0]


class OwnBatches:
    """A loader whose batches have as many rows as it was told."""

    rows = 2

    def __init__(self, _workload, _store, _files):
        pass

    def batches(self, _epoch, steps):
        for _ in range(steps):
            yield np.zeros((self.rows, 10), np.uint8)


def test_a_loader_gives_batches_of_the_size_that_is_counted(small_workload, root, monkeypatch):
    workload = small_workload()
    folder_of(workload, root)
    assert run(workload, root, plugins=Plugins(loader=OwnBatches)).epochs[0].samples == 10
    monkeypatch.setattr(OwnBatches, "rows", 1)
    with pytest.raises(UserError, match=r"a batch of 1 sample, and reader\.batch_size is 2"):
        run(workload, root, plugins=Plugins(loader=OwnBatches))


def test_the_order_of_another_loader_is_not_known(tmp_path):
    workload = cm4storage.load_workload("unet3d_h100", SMALL)
    plugins = Plugins(loader=OwnBatches)
    report = cm4storage.run(workload, data_dir=tmp_path / "data", plugins=plugins)
    document = report.to_json()
    assert document["access_order_digest"] is None
    assert document["access_order_sample"] == []
    assert "access order" not in str(report)
    conduct = Conduct(records_order=True)
    with pytest.raises(UserError, match="the order of the user's loader is not known"):
        cm4storage.run(workload, data_dir=tmp_path / "data", plugins=plugins, conduct=conduct)


def test_parts_of_ones_own_make_figures_incomparable(tmp_path):
    workload = cm4storage.load_workload("unet3d_h100", SMALL)
    plain = cm4storage.run(workload, data_dir=tmp_path / "data")
    plugins = Plugins(loader=OwnBatches)
    report = cm4storage.run(workload, data_dir=tmp_path / "data", plugins=plugins)
    before, reasons = (each.to_json()["not_comparable_because"] for each in (plain, report))
    assert set(reasons) - set(before) == {"a loader of one's own"}


def test_the_python_interface_saves_the_order_where_it_is_asked_to(tmp_path):
    workload = cm4storage.load_workload("unet3d_h100", SMALL)
    conduct = Conduct(records_order=True)
    report = cm4storage.run(workload, data_dir=tmp_path / "data", conduct=conduct)
    report.save(tmp_path / "out")
    numbers = (tmp_path / "out/order/epoch_1.txt").read_text(encoding="ascii").split()
    assert sorted(map(int, numbers)) == list(range(6))


def test_a_report_that_cannot_be_saved_says_so(tmp_path):
    workload = cm4storage.load_workload("unet3d_h100", SMALL)
    report = cm4storage.run(workload, data_dir=tmp_path / "data", limits=Limits(max_steps=1))
    (tmp_path / "file").write_text("", encoding="ascii")
    with pytest.raises(StorageFault, match="cannot make the folder"):
        report.save(tmp_path / "file" / "out")


def test_no_thread_is_left_where_not_all_could_start(small_workload, root, monkeypatch):
    workload = small_workload("reader.read_threads=4 reader.prefetch_size=0")
    folder_of(workload, root)
    start, started = threading.Thread.start, []

    def start_three(thread):
        if thread.name.startswith("reader-"):
            if len(started) == 3:
                raise RuntimeError("can't start new thread")
            started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_three)
    with pytest.raises(UserError, match="cannot start 4 reader threads"):
        run(workload, root)
    assert not readers_at_work()


@pytest.mark.parametrize("part", ["reader", "sampler", "loader", "compute_step"])
def test_what_a_part_raises_arrives_and_leaves_no_thread(small_workload, root, part):
    class Own(Exception):
        pass

    def fail(*_args):
        raise Own("it broke")

    class Part:
        def __init__(self, *_args):
            pass

        decode = ids = batches = __call__ = fail

    workload = small_workload("reader.read_threads=3")
    folder_of(workload, root)
    with pytest.raises(Own, match="it broke"):
        run(workload, root, plugins=Plugins(**{part: Part}))
    assert not readers_at_work()


def test_records_of_the_first_version_can_be_read(tmp_path):
    workload = cm4storage.load_workload("unet3d_h100", SMALL)
    folder = cm4storage.run(workload, data_dir=tmp_path / "data").save(tmp_path / "out")
    document = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    document["version"] = 1
    for name in ("evaluations", "conduct", "faults"):
        del document[name]
    for name in ("h2d_s", "skipped_files", "resident_before", "resident_after"):
        del document["epochs"][0][name]
    (folder / "run.json").write_text(json.dumps(document), encoding="utf-8")
    report = build_report(figures.of_run(records.load(folder)))
    assert report["total_samples"] == 6
    assert "page cache" not in render(report, "here", "again")

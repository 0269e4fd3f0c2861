"""Bad files are skipped and counted where the user asks for it; cold starts are cold."""

from __future__ import annotations

import numpy as np
import pytest
from running_jobs import folder_of, run

from cm4storage.core.errors import StorageFault, UserError
from cm4storage.loader.caching import CachedFiles
from cm4storage.loader.counting_store import CountingStore
from cm4storage.loader.data_files import DataFiles
from cm4storage.loader.limits import Conduct
from cm4storage.loader.plugins import Plugins
from cm4storage.storage import page_cache
from cm4storage.storage.folders.file import FileStore
from cm4storage.workload.plan import Split

SKIP = Conduct(on_error="skip")


class Seen:
    """A compute step that keeps what it is given."""

    def __init__(self, _workload):
        self.batches = []

    def __call__(self, batch, duration_s):
        del duration_s
        self.batches.append(batch.copy())


def seen_by(workload, root, conduct=None, once_open=lambda: None):
    """Run, and return the outcome and all rows that were handed over."""
    steps = []

    def make(workload):
        steps.append(Seen(workload))
        return steps[-1]

    plugins = Plugins(compute_step=make)
    outcome = run(workload, root, conduct=conduct, plugins=plugins, once_open=once_open)
    return outcome, [row for batch in steps[0].batches for row in batch]


def spoil(path, how):
    """Make a file unusable."""
    if how == "missing":
        path.unlink()
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif how == "flipped":
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 16
        path.write_bytes(data)
    elif how == "shape":
        np.savez(path, x=np.zeros((3, 3, 1), np.uint8), y=[0])
    elif how == "objects":
        np.savez(path, x=np.array([{}], dtype=object), y=[0])


@pytest.mark.parametrize("how", ["missing", "cut", "flipped", "shape", "objects"])
@pytest.mark.parametrize("per_file", [1, 4])
def test_bad_files_are_counted_and_zeros_stand_in_their_place(small_workload, root, how, per_file):
    workload = small_workload(
        f"reader.read_threads=3 train.epochs=1 dataset.num_samples_per_file={per_file} "
        "reader.file_shuffle=off reader.sample_shuffle=off"
    )
    files = sorted((folder_of(workload, root) / "train").iterdir())
    _, right = seen_by(workload, root)
    outcome, got = seen_by(
        workload, root, SKIP, lambda: [spoil(files[number], how) for number in (3, 6)]
    )
    assert outcome.epochs[0].skipped_files == 2
    assert files[3].name in "".join(outcome.counters.faults)
    for place, (row, expected) in enumerate(zip(got, right, strict=True)):
        is_bad = place // per_file in (3, 6)
        assert np.array_equal(row, np.zeros_like(row) if is_bad else expected)


def test_an_epoch_without_one_good_file_fails(small_workload, root):
    workload = small_workload()
    files = sorted((folder_of(workload, root) / "train").iterdir())
    with pytest.raises(StorageFault, match="no file of the epoch could be read"):
        run(workload, root, conduct=SKIP, once_open=lambda: [path.unlink() for path in files])


def test_a_cold_run_finds_nothing_in_the_page_cache(small_workload, root):
    workload = small_workload("dataset.record_length_bytes=100000")
    folder = folder_of(workload, root)
    paths = [str(path) for path in (folder / "train").iterdir()]
    if page_cache.residency(paths).fraction != 1.0:
        pytest.skip("files here are not in the page cache at all")
    page_cache.evict(paths)
    if page_cache.residency(paths).fraction != 0.0:
        pytest.skip("this file system keeps its pages: it is memory")
    warm = run(workload, root)
    assert warm.epochs[0].resident_before == 0
    assert warm.epochs[0].resident_after == warm.epochs[1].resident_before == 1
    cold = run(workload, root, conduct=Conduct(is_cold=True))
    assert [epoch.resident_before for epoch in cold.epochs] == [0, 0]
    assert [epoch.resident_after for epoch in cold.epochs] == [1, 1]


def test_both_ways_to_count_pages_agree(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(1_000_000))
    with path.open("rb") as stream:
        number = stream.fileno()
        pages = page_cache._resident_pages(number, 1_000_000)
        assert pages == page_cache._resident_by_mincore(number, 1_000_000)


def test_only_local_files_can_be_cold(small_workload, tmp_path):
    store = CountingStore(FileStore(tmp_path))  # a store that is no folder
    files = CachedFiles.of(store, DataFiles(small_workload(), Split.TRAIN))
    assert files.resident_fraction() is None
    with pytest.raises(UserError, match="local files only"):
        files.evict()

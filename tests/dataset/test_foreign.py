"""Data sets that others made: found by name, read as they are, and left alone."""

from __future__ import annotations

import numpy as np
import pytest

from cm4storage.core.errors import StorageFault, UserError
from cm4storage.core.progress import NoProgress
from cm4storage.dataset.foreign import open_foreign
from cm4storage.loader.limits import Limits
from cm4storage.loader.running import Trainer
from cm4storage.ranks.communicator import SingleProcess
from cm4storage.storage.location import StoreLocation
from cm4storage.workload.plan import Plan


def write_as_dlio(workload, folder):
    """Write npz files with numpy under the names, and of the sizes, that DLIO gives them."""
    for file in Plan.of(workload).files():
        path = folder / file.key
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (*file.record_shape, file.samples)
        records = np.random.default_rng(file.index).integers(0, 255, shape, np.uint8)
        np.savez(path, x=records, y=[0] * file.samples)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "foreign"


@pytest.fixture
def location(folder):
    return StoreLocation.parse(str(folder))


def train(workload, location):
    with open_foreign(workload, location) as dataset:
        trainer = Trainer(workload, dataset.store, SingleProcess(), NoProgress())
        return dataset, trainer.run(Limits())


@pytest.mark.parametrize("folders", [0, 3])
def test_all_samples_are_read_and_nothing_is_written(small_workload, folder, location, folders):
    workload = small_workload(f"dataset.num_subfolders_train={folders}")
    write_as_dlio(workload, folder)
    (folder / "train" / "img_00_of_10.npz.idx").write_text("an index of somebody")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    dataset, outcome = train(workload, location)
    assert [epoch.samples for epoch in outcome.epochs] == [10, 10]
    total_bytes = sum(path.stat().st_size for path in folder.rglob("*.npz"))
    assert dataset.describe() == {"foreign": True, "files": 10, "total_bytes": total_bytes}
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_what_is_missing_and_what_is_there_instead_is_said(small_workload, folder, location):
    write_as_dlio(small_workload("dataset.num_files_train=12"), folder)
    message = r"img_00_of_10.npz: missing(.|\n)*the first file there is train/img_00_of_12.npz"
    with pytest.raises(UserError, match=message), open_foreign(small_workload(), location):
        pass


def test_an_empty_folder_is_no_data_set(small_workload, location):
    with (
        pytest.raises(UserError, match="there is no file in train"),
        open_foreign(small_workload(), location),
    ):
        pass


def test_an_empty_file_is_refused(small_workload, folder, location):
    write_as_dlio(small_workload(), folder)
    (folder / "train" / "img_07_of_10.npz").write_bytes(b"")
    with (
        pytest.raises(UserError, match=r"img_07_of_10.npz: empty"),
        open_foreign(small_workload(), location),
    ):
        pass


def test_samples_of_another_size_stop_the_run(small_workload, folder, location):
    write_as_dlio(small_workload("dataset.record_length_bytes=6000"), folder)
    with pytest.raises(StorageFault, match=r"img_\d+_of_10.npz"):
        train(small_workload(), location)


def test_files_for_evaluation_are_wanted_where_there_is_an_evaluation(
    small_workload, folder, location
):
    write_as_dlio(small_workload(), folder)
    params = "dataset.num_files_eval=2 workflow.evaluation="
    with open_foreign(small_workload(f"{params}false"), location) as dataset:
        assert dataset.listed.files == 10
    with (
        pytest.raises(UserError, match=r"valid/img_0_of_2.npz: missing"),
        open_foreign(small_workload(f"{params}true"), location),
    ):
        pass

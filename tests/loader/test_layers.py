"""What ``odirect``, ``transfer_size`` and ``read_type`` do to the reads, and not to the data."""

from __future__ import annotations

import numpy as np
import pytest
from running_jobs import folder_of, run

from cm4storage.core.errors import UserError
from cm4storage.loader.layers import Layers
from cm4storage.loader.plugins import Plugins
from cm4storage.storage import page_cache
from cm4storage.storage.direct_reads import DirectReads
from cm4storage.storage.folders.directio import DirectStore
from cm4storage.storage.folders.file import FileStore
from cm4storage.storage.kept_reads import KeptReads
from cm4storage.storage.wrapper import StoreWrapper


class Keeper:
    """Keeps copies of all batches."""

    def __init__(self, _workload):
        Keeper.kept = []

    def __call__(self, batch, duration_s):
        del duration_s
        Keeper.kept.append(batch.copy())


def rows(workload, root):
    folder_of(workload, root)
    outcome = run(workload, root, plugins=Plugins(compute_step=Keeper))
    return outcome, np.concatenate(Keeper.kept)


@pytest.mark.parametrize("file_format", ["npz", "tfrecord"])
@pytest.mark.parametrize(
    "layer", ["reader.transfer_size=777", "reader.read_type=memory", "reader.odirect=true"]
)
def test_the_data_stay_the_same(request, small_workload, root, layer, file_format):
    if "odirect" in layer:
        request.getfixturevalue("needs_direct_io")
    params = f"dataset.format={file_format} dataset.num_samples_per_file=3"
    _, plain = rows(small_workload(params), root)
    _, layered = rows(small_workload(f"{params} {layer}"), root)
    assert np.array_equal(plain, layered)


def test_a_small_transfer_size_makes_many_requests(small_workload, root):
    plain, _ = rows(small_workload("train.epochs=1"), root)
    many, _ = rows(small_workload("train.epochs=1 reader.transfer_size=1000"), root)
    assert many.epochs[0].bytes_read == plain.epochs[0].bytes_read


def test_memory_reads_each_file_once(small_workload, root):
    workload = small_workload("reader.read_type=memory train.epochs=3")
    outcome, _ = rows(workload, root)
    sizes = [path.stat().st_size for path in (folder_of(workload, root) / "train").iterdir()]
    assert [epoch.bytes_read for epoch in outcome.epochs] == [sum(sizes), 0, 0]


def test_memory_must_hold_the_data_set(small_workload, root):
    workload = small_workload("reader.read_type=memory")
    folder_of(workload, root)
    huge = small_workload("reader.read_type=memory dataset.num_files_train=1000000000")
    with pytest.raises(UserError, match=r"keeps .* in memory, and this machine has"):
        Layers.of(huge, FileStore(root.path))


@pytest.mark.usefixtures("needs_direct_io")
def test_direct_reads_leave_no_page_in_the_cache(small_workload, root):
    workload = small_workload("reader.odirect=true dataset.record_length_bytes=100000")
    paths = [str(path) for path in (folder_of(workload, root) / "train").iterdir()]
    page_cache.evict(paths)
    outcome = run(workload, root)
    assert outcome.epochs[-1].resident_after == 0


def test_direct_reads_need_a_folder_on_a_disk(tmp_path, memory_folder):
    with pytest.raises(UserError, match="local files only"):
        DirectReads(StoreWrapper(FileStore(tmp_path)))
    with pytest.raises(UserError, match=r"reader\.odirect=true has no meaning on tmpfs"):
        DirectReads(FileStore(memory_folder))


@pytest.mark.usefixtures("needs_direct_io")
def test_what_is_read_directly_is_not_wrapped_again(small_workload, tmp_path):
    store = DirectStore(tmp_path)
    assert Layers.of(small_workload("reader.odirect=true"), store).store is store


def test_what_is_kept_outlives_the_object(tmp_path):
    store = KeptReads(FileStore(tmp_path))
    store.write("a", [memoryview(b"0123456789")])
    with store.read("a", start=2, length=3) as view:
        assert bytes(view) == b"234"
    store.delete("a")
    target = bytearray(4)
    assert store.scatter("a", [memoryview(target)[:1], memoryview(target)[1:]], start=7) == 3
    assert bytes(target) == b"789\0"
    store.close()

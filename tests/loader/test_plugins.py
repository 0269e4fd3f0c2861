"""Parts of the loader that are the user's: by dotted name, by entry point, or as objects."""

from __future__ import annotations

import sys
import textwrap

import numpy as np
import pytest
from running_jobs import folder_of, run

from cm4storage.core.errors import UserError
from cm4storage.loader.plugins import Plugins
from cm4storage.workload.plan import Plan, Split

PLAIN_ORDER = "reader.file_shuffle=off reader.sample_shuffle=off train.epochs=1"


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """Return a function from source text to an importable module named ``mine``."""

    def write(text):
        (tmp_path / "mine.py").write_text(textwrap.dedent(text), encoding="utf-8")
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, "mine", raising=False)
        __import__("mine")
        return sys.modules["mine"]

    return write


class Keeper:
    """Keeps copies of all batches; a device takes 2 ms to get one."""

    kept: list[np.ndarray]

    def __init__(self, _workload):
        Keeper.kept = []

    def transfer(self, batch):
        return batch.copy()

    def __call__(self, batch, duration_s):
        del duration_s
        Keeper.kept.append(batch)


def test_a_compute_step_gets_every_batch_and_its_transfer_is_timed(small_workload, root):
    workload = small_workload(PLAIN_ORDER)
    folder_of(workload, root)
    outcome = run(workload, root, plugins=Plugins(compute_step=Keeper))
    assert len(Keeper.kept) == 5
    assert len(outcome.epochs[0].h2d_s) == 5
    assert all(batch.any() for batch in Keeper.kept)


def test_a_sampler_decides_which_samples_are_read(small_workload, root, mine):
    module = mine(
        """
        class Backwards:
            def __init__(self, workload):
                self.total = workload.total_samples

            def ids(self, epoch):
                return [self.total - 1 - n for n in range(self.total - 2)] + [7, 7]
        """
    )
    assert module
    params = f"{PLAIN_ORDER} dataset.num_samples_per_file=3 dataset.num_files_train=4"
    workload = small_workload(f"{params} reader.batch_size=6")
    named = small_workload(f"{params} reader.batch_size=6 reader.sampler_classname=mine.Backwards")
    folder_of(workload, root)
    run(workload, root, plugins=Plugins(compute_step=Keeper))
    plain = np.concatenate(Keeper.kept)
    outcome = run(named, root, plugins=Plugins(compute_step=Keeper))
    expected = [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 7, 7]
    assert np.array_equal(np.concatenate(Keeper.kept), plain[expected])
    assert outcome.first_sample_ids == expected[:10]


@pytest.mark.parametrize("file_format", ["tfrecord", "hdf5", "npz", "indexed_binary"])
def test_a_sampler_may_ask_for_one_sample_in_the_middle_of_a_file(
    small_workload, root, file_format
):
    class SecondOfEach:
        def __init__(self, _workload):
            pass

        def ids(self, _epoch):
            return range(1, 12, 3)

    params = f"{PLAIN_ORDER} dataset.num_samples_per_file=3 dataset.num_files_train=4"
    workload = small_workload(f"{params} dataset.format={file_format} reader.batch_size=4")
    folder_of(workload, root)
    run(workload, root, plugins=Plugins(compute_step=Keeper))
    plain = np.concatenate(Keeper.kept)
    short = small_workload(
        f"{params} dataset.format={file_format} reader.batch_size=4 train.total_training_steps=1"
    )
    run(short, root, plugins=Plugins(compute_step=Keeper, sampler=SecondOfEach))
    assert np.array_equal(Keeper.kept[0], plain[1::3])


@pytest.mark.parametrize(("ids", "message"), [([0, 99], "gave sample 99"), ([0], "gave 1 samples")])
def test_a_sampler_that_is_wrong_is_told_so(small_workload, root, ids, message):
    class Wrong:
        def __init__(self, _workload):
            pass

        def ids(self, _epoch):
            return ids

    workload = small_workload(PLAIN_ORDER)
    folder_of(workload, root)
    with pytest.raises(UserError, match=message):
        run(workload, root, plugins=Plugins(sampler=Wrong))


def test_a_reader_decodes_files_of_its_own_kind(small_workload, root, mine):
    mine(
        """
        class Inverted:
            def __init__(self, dataset):
                from cm4storage.formats.format import format_of

                self.format = format_of(dataset)

            def decode(self, source):
                for sample in self.format.decode(source):
                    yield memoryview(bytes(255 - byte for byte in sample))
        """
    )
    workload = small_workload(f"{PLAIN_ORDER} reader.reader_classname=mine.Inverted")
    folder = folder_of(workload, root)
    run(workload, root, plugins=Plugins(compute_step=Keeper))
    first = np.load(folder / Plan.of(workload).key(Split.TRAIN, 0))["x"].ravel()
    row = Keeper.kept[0][0].ravel()
    count = min(len(first), len(row))
    assert np.array_equal(row[:count], 255 - first[:count])


def test_a_loader_gives_the_batches_and_what_it_reads_is_counted(small_workload, root, mine):
    mine(
        """
        import numpy as np

        class Whole:
            def __init__(self, workload, store, files):
                self.store, self.files = store, files
                self.batch_size = workload.reader.batch_size

            def batches(self, epoch, steps):
                for step in range(steps):
                    rows = []
                    for n in range(self.batch_size):
                        key = self.files.key(step * self.batch_size + n)
                        with self.store.read(key) as view:
                            rows.append(np.frombuffer(bytes(view[:100]), np.uint8))
                    yield np.stack(rows)
        """
    )
    workload = small_workload(f"{PLAIN_ORDER} reader.data_loader_classname=mine.Whole")
    folder = folder_of(workload, root)
    outcome = run(workload, root)
    sizes = [path.stat().st_size for path in (folder / "train").iterdir()]
    assert outcome.epochs[0].bytes_read == sum(sizes)
    assert len(outcome.epochs[0].wait_s) == 5
    assert outcome.counters.io.count == 10


def test_a_loader_that_ends_early_is_told_so(small_workload, root):
    class Short:
        def __init__(self, *_):
            pass

        def batches(self, _epoch, _steps):
            yield np.zeros((2, 3))

    workload = small_workload(PLAIN_ORDER)
    folder_of(workload, root)
    with pytest.raises(UserError, match="gave 1 batches in epoch 1, and 5 are due"):
        run(workload, root, plugins=Plugins(loader=Short))


@pytest.mark.parametrize("name", ["nowhere.Class", "os.nothing", "os.name", "not a name"])
def test_a_name_that_leads_nowhere_is_an_error(small_workload, root, name):
    workload = small_workload(f"train.compute_classname='{name}'")
    folder_of(workload, root)
    with pytest.raises(UserError, match=r"train\.compute_classname"):
        run(workload, root)


def test_an_entry_point_is_found_by_its_name(small_workload, root, tmp_path, mine):
    mine(
        """
        calls = []

        class Step:
            def __init__(self, workload):
                pass

            def __call__(self, batch, duration_s):
                calls.append(batch.shape)
        """
    )
    info = tmp_path / "mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[cm4storage.compute_steps]\nstep = mine:Step\n")
    workload = small_workload(f"{PLAIN_ORDER} train.compute_classname=step")
    folder_of(workload, root)
    run(workload, root)
    assert len(sys.modules["mine"].calls) == 5

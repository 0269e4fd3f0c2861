"""What loops of other frameworks hand in, and what becomes of it."""

from __future__ import annotations

import contextlib
import gc
import math
import resource
import shutil
import threading
import weakref
from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors.numpy import load_file

import cm4storage
from cm4storage.checkpoint.encoding import Encoding
from cm4storage.checkpoint.payload import GeneratedPayload
from cm4storage.checkpoint.tensors import Tensor
from cm4storage.checkpoint.writing import write_file
from cm4storage.core.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path


def saver(folder, **options):
    return cm4storage.CheckpointPlugin(
        folder, **{"run_id": "r", "steps_between_checkpoints": 1} | options
    )


def restored(folder, **options):
    with saver(folder, **options) as plugin:
        return plugin.restore()


def saved(folder, state, **options):
    with saver(folder, **options) as plugin:
        plugin.after_step(1, state)
    return restored(folder, **options).state


@pytest.mark.parametrize("is_async", [False, True])
def test_numbers_that_json_has_not_come_back(tmp_path, is_async):
    state = {"best": math.inf, "worst": -math.inf, "last": [math.nan, 1.5], "w": np.ones(2)}
    back = saved(tmp_path, state, is_async=is_async)
    assert (back["best"], back["worst"], back["last"][1]) == (math.inf, -math.inf, 1.5)
    assert math.isnan(back["last"][0])


def test_tensors_whose_paths_read_alike_keep_their_own_data(tmp_path):
    zeros, ones, twos = (np.full(2, n) for n in range(3))
    back = saved(
        tmp_path,
        {"a.b": zeros, "a": {"b": ones, "b~2": twos}, 1: zeros, "1": ones, "__metadata__": twos},
    )
    assert [back["a.b"][0], back["a"]["b"][0], back["a"]["b~2"][0]] == [0, 1, 2]
    assert [back[1][0], back["1"][0], back["__metadata__"][0]] == [0, 1, 2]
    names = load_file(tmp_path / "r/step_00000001.ckpt")
    assert len(names) == 6
    assert "__metadata__" not in names


@pytest.mark.parametrize(
    ("state", "match"),
    [
        ({"a": np.ones(2), "a/b": np.ones(2)}, "tensor and that of a dictionary"),
        ({"a/b": np.ones(2), "a": np.ones(2)}, "tensor and that of a dictionary"),
        ({"a": np.ones(2, np.uint16)}, "cannot hold elements of type U16"),
    ],
)
def test_what_no_torch_file_can_hold_is_refused(tmp_path, state, match):
    with pytest.raises(UserError, match=match):
        saved(tmp_path, state, container="torch")


def test_steps_and_epochs_may_be_numbers_of_numpy(tmp_path):
    with saver(tmp_path, steps_between_checkpoints=2) as plugin:
        plugin.before_epoch(np.int32(3))
        plugin.after_step(np.int64(2), {"w": np.ones(2)})
    found = restored(tmp_path)
    assert (found.step, found.epoch) == (2, 3)


def test_a_plugin_serves_one_run_after_the_other(tmp_path):
    plugin = saver(tmp_path, is_async=True)
    for step in (1, 2):
        with plugin:
            plugin.after_step(step, {"w": np.full(2, step)})
    assert [each.step for each in plugin.checkpoints] == [1, 2]
    assert restored(tmp_path).state["w"][0] == 2


def test_what_could_not_be_restored_is_not_kept_in_the_place_of_what_can(tmp_path):
    with saver(tmp_path) as plugin:
        for step in (1, 2, 3):
            plugin.after_step(step, {"w": np.full(100, step)})
    for step in (2, 3):
        damage(tmp_path / f"r/step_{step:08}.ckpt")
    with saver(tmp_path, keep_last=1) as plugin:
        found = plugin.restore()
        assert (found.step, [step for step, _ in found.passed_over]) == (1, [3, 2])
        plugin.after_step(2, {"w": np.full(100, 22)})
    again = restored(tmp_path)
    assert (again.step, again.state["w"][0]) == (2, 22)
    assert not (tmp_path / "r/step_00000001.ckpt").exists()


def test_the_copy_of_a_run_has_files_of_its_own(tmp_path):
    saved(tmp_path, {"w": np.ones(2)})
    shutil.copytree(tmp_path / "r", tmp_path / "copy")
    with saver(tmp_path) as plugin:  # goes on, and writes the step anew
        plugin.after_step(1, {"w": np.zeros(2)})
    assert restored(tmp_path, run_id="copy").state["w"][0] == 1


def test_a_flip_anywhere_in_a_manifest_is_passed_over(tmp_path):
    """A number of the state is nowhere but there."""
    saved(tmp_path, {"w": np.ones(2), "lr": 0.125})
    path = tmp_path / "r/step_00000001.json"
    sound = path.read_bytes()
    places = [*range(0, len(sound), 23), sound.index(b"0.125") + 2]
    for place in places:
        damaged = bytearray(sound)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        with saver(tmp_path) as plugin:
            found = plugin.restore()
        # Blanks between the parts mean nothing.
        assert found is None or found.state == {"w": pytest.approx(np.ones(2)), "lr": 0.125}
    assert found is None


def test_a_manifest_under_the_name_of_another_step_is_passed_over(tmp_path):
    saved(tmp_path, {"w": np.ones(2)})
    for kind in ("ckpt", "json"):
        path = tmp_path / f"r/step_00000001.{kind}"
        shutil.copy(path, path.with_stem("step_00000007"))
    found = restored(tmp_path)
    assert found.step == 1
    assert found.passed_over == ((7, "its manifest is that of step 1"),)


def test_a_loop_that_tells_of_epochs_alone_goes_on_with_the_next(tmp_path):
    options = {"steps_between_checkpoints": -1, "epochs_between_checkpoints": 1}
    for first in (1, 3):
        with saver(tmp_path, **options) as plugin:
            plugin.restore()
            for epoch in (first, first + 1):
                plugin.after_epoch(epoch, {"w": np.full(2, epoch)})
    names = {path.name for path in (tmp_path / "r").glob("*.ckpt")}
    assert names == {f"step_{epoch:08}.ckpt" for epoch in range(1, 5)}
    found = restored(tmp_path, **options)
    assert (found.step, found.epoch, found.state["w"][0]) == (4, 4, 4)


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.filterwarnings("ignore:the checkpoint of step:RuntimeWarning")
def test_a_failed_checkpoint_keeps_neither_threads_nor_the_state(tmp_path, is_async, small_files):
    before = set(threading.enumerate())
    with saver(tmp_path, is_async=is_async, on_error="warn") as plugin, small_files:
        gc.disable()
        try:
            array = np.ones(30_000_000, np.uint8)
            alive = weakref.ref(array)
            for step in (1, 2):
                plugin.after_step(step, {"w": array})
            del array
            plugin.finalize()
            assert [bool(each.error) for each in plugin.checkpoints] == [True, True]
            assert alive() is None
            assert set(threading.enumerate()) <= before
        finally:
            gc.enable()


def test_an_interrupt_passes_while_a_client_s_thread_takes_the_blocks():
    begun, goes_on = threading.Event(), threading.Event()

    class Slow(GeneratedPayload):
        def fill(self, *_):
            begun.set()
            goes_on.wait(10)

    class Interrupted:
        """Stands for a store whose client takes the blocks in a thread of its own."""

        def write(self, _key, chunks):
            self.thread = threading.Thread(target=lambda: [len(each) for each in chunks])
            self.thread.start()
            begun.wait(10)
            raise KeyboardInterrupt

    store = Interrupted()
    try:
        with pytest.raises(KeyboardInterrupt):
            write_file(store, "k", Slow([Tensor("a", "U8", (100,))]), Encoding(), {})
    finally:
        goes_on.set()
        store.thread.join()


@pytest.fixture
def small_files():
    """Return a context in which no file can be larger than a MiB."""

    @contextlib.contextmanager
    def limited():
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limited()


def damage(path: Path):
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)

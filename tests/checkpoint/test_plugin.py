"""Checkpoints in the course of a training, of ours and of another loop."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zstandard
from safetensors.numpy import load, load_file

import cm4storage
from cm4storage.checkpoint.payload import GeneratedPayload
from cm4storage.checkpoint.tensors import Tensor
from cm4storage.core.errors import StorageFault, UserError
from cm4storage.results import figures
from cm4storage.results.summary import per_epoch_stats, rank_output

SMALL = {
    "dataset.num_files_train": 10,
    "dataset.record_length_bytes": 5000,
    "dataset.record_length_bytes_stdev": 0,
    "dataset.record_length_bytes_resize": 0,
    "reader.batch_size": 2,
    "train.computation_time": 0,
    "train.epochs": 3,
    "model.model_size_bytes": 70_000,
}
ON = {"workflow.checkpoint": True}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Return where one data set of five steps serves all runs of this file."""
    return tmp_path_factory.mktemp("plugin") / "data"


def run(data_dir, overrides, *plugins):
    workload = cm4storage.load_workload("unet3d_h100", SMALL | overrides)
    return cm4storage.run(workload, data_dir=data_dir, plugins=plugins)


def steps_of(report):
    return [checkpoint.step for checkpoint in report.record.checkpoints]


def file_of(data_dir, checkpoint, folder="checkpoints/unet3d"):
    return Path(data_dir) / folder / checkpoint.key


def test_a_workload_that_asks_for_checkpoints_gets_its_models_tensors(data_dir):
    asked = {"checkpoint.checkpoint_after_epoch": 1, "model.optimization_groups": [300, 40]}
    report = run(data_dir, ON | asked | {"model.num_layers": 2, "model.layer_parameters": [11, 5]})
    # Every second epoch from the first on, as the stock YAML says.
    assert steps_of(report) == [5, 15]
    assert [checkpoint.epoch for checkpoint in report.record.checkpoints] == [1, 3]
    last = report.record.checkpoints[-1]
    tensors = load_file(file_of(data_dir, last))
    assert {name: (str(a.dtype), a.shape) for name, a in tensors.items()} == {
        "model.a": ("int8", (70_000,)),
        **{f"layer.{n}.{k}": ("int8", (size,)) for n in (1, 2) for k, size in ((0, 11), (1, 5))},
        **{
            f"optimizer.{n}.{ab}": ("int8", (size,))
            for n, size in ((0, 300), (1, 40))
            for ab in "ab"
        },
        "optimizer.combined": ("int8", (340,)),
    }
    expected = np.empty(70_000, np.int8)
    GeneratedPayload([Tensor("model.a", "I8", (70_000,))], seed=123, step=15).fill(
        0, 0, memoryview(expected).cast("B")
    )
    assert (tensors["model.a"] == expected).all()
    assert last.size_bytes == sum(array.nbytes for array in tensors.values())
    assert last.stored_bytes == file_of(data_dir, last).stat().st_size
    assert last.stall_s >= last.write_s > 0
    assert report.figures.not_comparable_because[-1:] != ["plugin checkpoint was added"]


def test_a_transformer_s_checkpoint_has_its_layers_and_optimizer(data_dir):
    model = {
        "model.type": "transformer",
        "model.num_layers": 2,
        "model.parallelism.zero_stage": 1,
        "model.transformer.hidden_size": 64,
        "model.transformer.ffn_hidden_size": 128,
        "model.transformer.vocab_size": 500,
        "model.transformer.num_attention_heads": 8,
        "model.transformer.num_kv_heads": 2,
    }
    report = run(data_dir, ON | {"checkpoint.checkpoint_after_epoch": 1} | model)
    tensors = load_file(file_of(data_dir, report.record.checkpoints[-1]))
    embedding = "model_0_model_states/0/0"
    assert (tensors[embedding].dtype, tensors[embedding].size) == (np.float16, 500 * 64)
    states = [name for name in tensors if name.startswith("zero_pp_rank_0_mp_rank_0_optim_states/")]
    assert len(states) == 6
    assert {tensors[name].dtype for name in states} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("overrides", "steps"),
    [
        ({"checkpoint.steps_between_checkpoints": 4}, [4, 8, 12]),  # over all epochs, before them
        ({"checkpoint.steps_between_checkpoints": 0}, []),
        ({"plugins": ["checkpoint"], "workflow.checkpoint": False}, [15]),  # as the section says
        ({"plugins": [{"checkpoint": {"steps_between_checkpoints": 7}}]}, [7, 14]),
        ({"plugins": [{"checkpoint": {"epochs_between_checkpoints": 2}}]}, [10]),
        (
            {
                "plugins": [{"checkpoint": {"epochs_between_checkpoints": 1}}],
                "checkpoint.steps_between_checkpoints": 4,
            },
            [5, 10, 15],
        ),
    ],
)
def test_the_cadence_is_the_one_that_was_asked_for(data_dir, overrides, steps):
    report = run(data_dir, ON | {"checkpoint.checkpoint_after_epoch": 3} | overrides)
    assert steps_of(report) == steps


def test_options_of_the_caller_add_checkpoints_and_are_told(data_dir, tmp_path):
    plugin = cm4storage.CheckpointPlugin(
        tmp_path / "own",
        steps_between_checkpoints=5,
        compression="zstd",
        keep_last=2,
        run_id="mine",
    )
    report = run(data_dir, {}, plugin)
    assert steps_of(report) == [5, 10, 15]
    assert report.figures.not_comparable_because[-1] == "plugin checkpoint was added"
    kept = sorted(path.name for path in (tmp_path / "own" / "mine").iterdir())
    assert kept == [
        "latest",
        *(f"step_000000{n}.{kind}" for n in (10, 15) for kind in ("ckpt", "json")),
    ]
    content = (tmp_path / "own" / "mine" / "step_00000015.ckpt").read_bytes()
    plain = zstandard.ZstdDecompressor().stream_reader(content, read_across_frames=True).read()
    assert load(plain)["model.a"].nbytes == 70_000


def test_other_options_than_the_workloads_are_told(data_dir):
    workload = cm4storage.load_workload("unet3d_h100", SMALL | ON)
    from cm4storage.checkpoint.choosing import plugins_of

    options = {"async": True, "keep_last": 1, "epochs_between_checkpoints": 1}
    plugin = plugins_of(workload.workload, options)["checkpoint"]
    report = cm4storage.run(workload, data_dir=data_dir, plugins=[plugin])
    reasons = report.figures.not_comparable_because
    assert "checkpoint option epochs_between_checkpoints was changed" in reasons
    assert "checkpoint option async was changed" in reasons
    assert not any("keep_last" in reason for reason in reasons)


def test_reports_and_dlios_files_have_the_checkpoints(data_dir, tmp_path):
    report = run(data_dir, ON | {"checkpoint.steps_between_checkpoints": 3, "train.epochs": 2})
    folder = report.save(tmp_path / "report")
    record = cm4storage.api.figures.of_run(report.record)
    document = json.loads((folder / "report.json").read_text())
    assert document["checkpoint_written"] == 3
    assert document["checkpoint_failed"] == 0
    stalls = [each["stall_s"] for each in document["checkpoints"]]
    assert document["checkpoint_stall_mean_s"] == pytest.approx(np.mean(stalls))
    assert document["checkpoint_stall_max_s"] == max(stalls)
    write_s = sum(each["write_s"] for each in document["checkpoints"])
    assert document["checkpoint_write_mib_per_s"] == pytest.approx(210_000 / 2**20 / write_s)
    rows = pd.read_csv(folder / "report.csv").set_index("row")
    assert rows.loc["checkpoint", "step"].tolist() == [3, 6, 9]
    assert rows.loc["run", "checkpoint_stall_max_s"] == pytest.approx(max(stalls))
    assert "stall of a checkpoint" in str(report)
    metric = json.loads((folder / "summary.json").read_text())["metric"]
    durations_s = [each["write_s"] for each in document["checkpoints"]]
    assert metric["save_checkpoint_duration_mean_seconds"] == pytest.approx(np.mean(durations_s))
    assert metric["save_checkpoint_duration_stdev_seconds"] == pytest.approx(np.std(durations_s))
    rates = 70_000 / 2**30 / np.array(durations_s)
    assert metric["save_checkpoint_io_mean_GB_per_second"] == pytest.approx(rates.mean())
    assert metric["checkpoint_size_GB"] == 70_000 / 2**30
    stats = per_epoch_stats(record)
    # Steps 3, 6 and 9: after the third step of the first epoch, the first and fourth of the second.
    assert [key for key in stats["1"] if key.startswith(("block", "save"))] == [
        "block1",
        "block2",
        "save_ckpt1",
    ]
    blocks = rank_output(record)["2"]["load"]
    assert {name: len(times) for name, times in blocks.items()} == {
        "block1": 1, "block2": 3, "block3": 1,
    }  # fmt: skip
    assert stats["2"]["block1"]["end"] == stats["2"]["save_ckpt1"]["start"]
    log = (folder / "dlio.log").read_text()
    assert "Starting checkpoint 2 after total step 9 for epoch 2" in log


def test_a_run_that_asks_for_checkpoints_and_has_none_reports_null(data_dir):
    report = run(data_dir, ON | {"checkpoint.checkpoint_after_epoch": 5})
    assert report.to_mlperf_json()["metric"]["checkpoint_size_GB"] is None
    assert report.to_json()["checkpoint_stall_max_s"] is None
    assert "stall of a checkpoint" not in str(report)


def test_a_record_of_an_older_release_is_read(data_dir, tmp_path):
    folder = run(data_dir, {"train.epochs": 1}).save(tmp_path / "old")
    document = json.loads((folder / "run.json").read_text())
    assert document["version"] > 3
    document["version"] = 3
    del document["checkpoints"], document["plugins"]
    for epoch in document["epochs"]:
        del epoch["plugins_s"], epoch["order_digest"]
    (folder / "run.json").write_text(json.dumps(document))
    from cm4storage.results import records

    report = cm4storage.api.build_report(figures.of_run(records.load(folder)))
    assert report["checkpoints"] == []


def test_in_the_background_stall_and_write_are_told_apart(data_dir):
    option = {"steps_between_checkpoints": 2, "async": True, "compression": "zstd"}
    overrides = ON | {"model.model_size_bytes": 2**23, "plugins": [{"checkpoint": option}]}
    report = run(data_dir, overrides | {"train.epochs": 1})
    first, second = report.record.checkpoints
    assert (first.step, second.step) == (2, 4)
    assert min(first.write_s, second.write_s, first.stall_s, second.stall_s) > 0
    # One at a time: the second began to be written when the first was complete.
    assert second.end > first.end
    # The run ends when the last one is complete.
    assert (file_of(data_dir, second).parent / "step_00000004.json").exists()
    assert report.record.plugins["checkpoint"]["after_step"] >= first.stall_s + second.stall_s


def blocked(location, run_id="run"):
    """Make it impossible to write below a run's id: a file is in the place of the folder."""
    Path(location).mkdir(exist_ok=True)
    (Path(location) / run_id).write_bytes(b"")


STATE = {"w": np.arange(6, dtype=np.float32), "step": 1}


def test_a_failed_checkpoint_stops_the_run(data_dir, tmp_path):
    blocked(tmp_path / "c", "mine")
    plugin = cm4storage.CheckpointPlugin(tmp_path / "c", steps_between_checkpoints=2, run_id="mine")
    with pytest.raises(StorageFault, match="plugin checkpoint: the checkpoint of step 2 failed"):
        run(data_dir, {}, plugin)


def test_a_failed_checkpoint_may_be_passed_over(data_dir, tmp_path):
    blocked(tmp_path / "c", "mine")
    plugin = cm4storage.CheckpointPlugin(
        tmp_path / "c", steps_between_checkpoints=7, run_id="mine", on_error="warn"
    )
    report = run(data_dir, {}, plugin)
    assert [each.step for each in report.record.checkpoints] == [7, 14]
    assert all(each.error and not each.key for each in report.record.checkpoints)
    assert report.to_json()["checkpoint_failed"] == 2
    assert "checkpoints failed        2" in str(report)


def test_an_error_in_the_background_surfaces_at_the_next_call_or_at_the_end(tmp_path):
    blocked(tmp_path)
    plugin = cm4storage.CheckpointPlugin(tmp_path, **{"async": True}, steps_between_checkpoints=1)
    plugin.initialize()
    plugin.after_step(1, STATE)
    with pytest.raises(StorageFault, match="the checkpoint of step 1 failed"):
        plugin.after_step(2, STATE)
    plugin.finalize()
    assert [each.step for each in plugin.checkpoints] == [1]

    with (
        pytest.raises(StorageFault, match="the checkpoint of step 1 failed"),
        cm4storage.CheckpointPlugin(tmp_path, is_async=True, steps_between_checkpoints=1) as other,
    ):
        other.after_step(1, STATE)


def test_another_loop_is_warned(tmp_path):
    blocked(tmp_path)
    with cm4storage.CheckpointPlugin(
        tmp_path, on_error="warn", steps_between_checkpoints=1
    ) as plugin:
        with pytest.warns(RuntimeWarning, match="the checkpoint of step 1 failed"):
            plugin.after_step(1, STATE)
        with pytest.warns(RuntimeWarning, match="the checkpoint of step 2 failed"):
            plugin.after_step(2, STATE)


def test_what_is_written_in_the_background_is_the_state_of_its_step(tmp_path):
    weights = np.zeros(1000, np.float32)
    with cm4storage.CheckpointPlugin(
        tmp_path, is_async=True, steps_between_checkpoints=3
    ) as plugin:
        for step in range(1, 8):
            weights[:] = step
            plugin.after_step(step, lambda: {"weights": weights})
    folder = tmp_path / "run"
    assert (load_file(folder / "step_00000003.ckpt")["weights"] == 3).all()
    assert (load_file(folder / "step_00000006.ckpt")["weights"] == 6).all()


def save_and_press_ctrl_c(location, state, *, is_async):
    option = {"steps_between_checkpoints": 1, "compression": "zstd", "compression_level": 9}
    with cm4storage.CheckpointPlugin(location, is_async=is_async, **option) as plugin:
        plugin.after_step(1, {"w": np.ones(3)})
        if is_async:
            plugin.after_step(2, state)
        raise KeyboardInterrupt


@pytest.mark.parametrize("is_async", [False, True])
def test_an_interrupt_leaves_nothing_half_visible(tmp_path, is_async):
    state = {f"w{n}": np.random.default_rng(n).random(2**20, np.float32) for n in range(12)}
    with pytest.raises(KeyboardInterrupt):
        save_and_press_ctrl_c(tmp_path, state, is_async=is_async)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "latest", "step_00000001.ckpt", "step_00000001.json",
    ]  # fmt: skip


def test_restore_passes_over_what_is_damaged_and_goes_on_from_there(tmp_path):
    with cm4storage.CheckpointPlugin(tmp_path, steps_between_checkpoints=2, run_id="a") as plugin:
        assert plugin.restore() is None
        for step in range(1, 7):
            plugin.after_step(step, {"w": np.full(4, step), "step": step, "sizes": (1, [2])})
    (tmp_path / "a" / "step_00000008.ckpt").write_bytes(b"half a file")
    damaged = tmp_path / "a" / "step_00000006.ckpt"
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    with cm4storage.CheckpointPlugin(tmp_path, steps_between_checkpoints=2, run_id="a") as plugin:
        restored = plugin.restore(lambda array: array.tolist())
        assert restored is not None
        assert (restored.step, restored.epoch) == (4, None)
        assert restored.state == {"w": [4, 4, 4, 4], "step": 4, "sizes": (1, [2])}
        assert [step for step, _ in restored.passed_over] == [8, 6]
        assert "no manifest" in restored.passed_over[0][1]
        assert "tensor 'w'" in restored.passed_over[1][1]
        plugin.after_step(5, STATE)
        assert plugin.checkpoints == []  # step 4 is there already, and 6 is next


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"interval": 3}, "there is no option interval"),
        ({"keep_last": 0}, "keep_last must be at least 1"),
        ({"steps_between_checkpoints": "often"}, "steps_between_checkpoints: expected a whole"),
        ({"compression": "gzip"}, "compression: expected one of none, zstd"),
        ({"compression": "zstd", "compression_level": 23}, "compression_level must be 1 to 22"),
        ({"compression": "zstd", "container": "torch"}, "cannot be compressed"),
        ({"on_error": "skip"}, "on_error: expected one of stop, warn"),
        ({"run_id": "../x"}, "cannot name an object"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises((UserError, StorageFault), match=message):
        cm4storage.CheckpointPlugin("c", **options)


def test_other_loops_are_told_what_is_missing(tmp_path):
    with pytest.raises(UserError, match="it is not known where to"):
        cm4storage.CheckpointPlugin(steps_between_checkpoints=1).initialize()
    plugin = cm4storage.CheckpointPlugin(tmp_path, steps_between_checkpoints=1)
    with pytest.raises(UserError, match="the plugin is not initialized"):
        plugin.after_step(1, STATE)
    with plugin, pytest.raises(UserError, match="there is no state to save"):
        plugin.after_step(2)

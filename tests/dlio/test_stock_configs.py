"""Every workload that the wheel carries is resolved, and run shrunk by overrides."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from running import Ours, record_of

from cm4storage.workload.resolve import Request, resolve

SHRUNK = (
    "dataset.num_files_train=4 dataset.num_samples_per_file=4 dataset.record_length_bytes=3000 "
    "dataset.record_length_bytes_stdev=0 dataset.record_length_bytes_resize=0 "
    "reader.batch_size=2 train.epochs=1 train.computation_time=0 train.total_training_steps=-1"
)
STEPS = 8

ONE_SAMPLE = "dataset.num_samples_per_file=1 reader.batch_size=1 dataset.num_files_train=8"
EXTRA = {
    "default": f"{ONE_SAMPLE} dataset.num_files_eval=2 evaluation.eval_time=0",
    "dlrm": "dataset.num_files_eval=1 reader.batch_size_eval=2",
}
STOCK = (
    *("bert_v100", "cosmoflow_a100", "cosmoflow_h100", "cosmoflow_v100", "default", "dlrm"),
    *("megatron_deepspeed", "resnet50_a100", "resnet50_h100", "resnet50_tf", "resnet50_v100"),
    *("unet3d_a100", "unet3d_h100", "unet3d_v100"),
)


@pytest.fixture
def stock(peer):
    """Return the folder of the wheel's workloads."""
    code = "import json, dlio_benchmark; print(json.dumps(dlio_benchmark.__path__[0]))"
    return Path(peer.evaluate(code)) / "configs" / "workload"


def test_these_are_all(stock):
    assert sorted(path.stem for path in stock.glob("*.yaml")) == sorted(STOCK)


@pytest.mark.parametrize("name", STOCK)
def test_stock_workload_runs(name, stock, tmp_path):
    """None of the wheel's is without training; those come with the sources of 2026."""
    config, ours = stock / f"{name}.yaml", Ours(tmp_path)
    full = resolve(Request(config=config)).workload
    assert full.steps_per_epoch() > 0
    ours.resolve(config, f"{SHRUNK} {EXTRA.get(name, '')}")
    ours.generate()
    run = ours.run("--data_dir=data")
    assert [len(epoch["wait_s"]) for epoch in record_of(run)["epochs"]] == [STEPS]
    ours.call("report", run)
    summary = json.loads((run / "summary.json").read_text())
    assert summary["metric"]["train_throughput_mean_samples_per_second"] > 0

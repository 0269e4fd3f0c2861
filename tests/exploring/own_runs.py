"""Runs of this project, in folders."""

from __future__ import annotations

import json

import cm4storage
from cm4storage.results.checkpoint_files import write_checkpoint_files
from cm4storage.results.checkpoint_records import load
from cm4storage.results.checkpoint_run_figures import of_checkpoint_run
from cm4storage.workload.resolve import Request, resolve

SMALL = {
    "dataset.num_files_train": 8, "dataset.record_length_bytes": 5000,
    "dataset.record_length_bytes_stdev": 0, "reader.batch_size": 2,
    "train.computation_time": 0.001, "train.epochs": 2,
}  # fmt: skip


def training(folder, data_dir, **overrides):
    """Run a small workload, and leave its files in `folder`; `__` in a name stands for a dot."""
    more = {name.replace("__", "."): value for name, value in overrides.items()}
    workload = cm4storage.load_workload("unet3d_h100", SMALL | more, scale="quick")
    cm4storage.run(workload, data_dir=str(data_dir)).save(folder)


def checkpointing(folder):
    """Leave the files of a run of checkpoints in `folder`, which two ranks wrote and read."""
    folder.mkdir(parents=True)
    time = "2026-01-01T00:00:00.000000"
    operations = [
        {
            "kind": kind, "number": number, "rank": rank, "source_rank": rank, "start": time,
            "end": time, "duration_s": 1.0 + rank + number / 3, "tensor_bytes": 10,
            "stored_bytes": 12, "files": 1,
        }
        for kind in ("save", "load") for number in (1, 2) for rank in (0, 1)
    ]  # fmt: skip
    host = {
        "hostname": "h", "cpu_count": 2, "processor": "x", "cpu": {}, "memory": {},
        "memory_bytes": 2**34,
    }  # fmt: skip
    layout = {
        "ranks": 2, "prescribed_ranks": 8, "hosts": 1, "tensor": 1, "pipeline": 1, "data": 2,
        "zero_stage": 3, "is_subset": False, "files": 4, "model_bytes": 2**30,
        "optimizer_bytes": 2**31,
    }  # fmt: skip
    record = {
        "schema": "cm4storage.checkpoint_run", "version": 1, "start": time, "end": time,
        "workload": resolve(Request(model="llama3_8b", accelerator="")).to_document(),
        "layout": layout,
        "storage": {"uri": "file:///x", "backend": "file", "fsync": True},
        "page_cache": {"state": "dropped", "resident_before_reading": 0.0},
        "environment": {"host": host, "command": "cm4storage checkpoint"},
        "operations": operations,
    }  # fmt: skip
    (folder / "checkpoint_run.json").write_text(json.dumps(record))
    write_checkpoint_files(of_checkpoint_run(load(folder)), folder)

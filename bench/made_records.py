"""Records of runs that never took place, of any length: for reports, and their tests."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np

from cm4storage.results.histogram import Histogram
from cm4storage.results.records import EpochRecord, RunRecord
from cm4storage.workload.resolve import Request, resolve

START = datetime(2026, 11, 22, 1, 50, 54, 123456)  # noqa: DTZ001 - records have local times
HOST = {
    "hostname": "node-17",
    "system": "Linux-6.12.41-x86_64-with-glibc2.41",
    "processor": "x86_64",
    "cpu_count": 64,
    "cpu": {"model name": "AMD EPYC 9354 32-Core Processor"},
    "memory": {"MemTotal": "527876096 kB"},
    "memory_bytes": 540545122304,
    "versions": {"cm4storage": "0.1.0", "python": "3.11.7", "numpy": "2.1.3"},
    "interpreter": "/opt/python/bin/python3",
    "kernel": "6.12.41+deb13-amd64",
    "networks": [
        {"name": "eth0", "speed_mbit_per_s": None}, {"name": "eth1", "speed_mbit_per_s": 25000},
    ],
}  # fmt: skip
FILE_SYSTEM = {  # below local data; the runs made here read from S3
    "type": "xfs", "mount_point": "/data", "source": "/dev/md0", "options": "rw,noatime,noquota",
    "block_device": {
        "name": "md0", "model": None, "size_bytes": 7681501126656, "rotational": False,
        "scheduler": None, "logical_block_bytes": 512, "read_ahead_bytes": 131072,
        "made_of": ["nvme0n1", "nvme1n1"],
    },
}  # fmt: skip
GIT = {"commit": "15930703e61fca37a76d26ba8f55ed3812789bea", "dirty": True}


def made_record(
    epochs: int = 3, steps: int = 500, *, wait_s: float = 0.004, scale: str = "stock",
    params: str = "", **changes: object,
) -> RunRecord:  # fmt: skip
    """Return the record of a run of unet3d; the same arguments give the same record.

    Parameters
    ----------
    epochs, steps : int
        The latter in each epoch.
    wait_s : float
        The mean wait; one step in a hundred waits some twenty times as long.
    scale, params : str
        As for a workload.
    **changes
        Other values of the record's fields.
    """
    resolved = resolve(Request(scale=scale, params=params))  # type: ignore[arg-type]
    random = np.random.default_rng(7)
    records, now = [], START + timedelta(seconds=0.4)
    for number in range(1, epochs + 1):
        records.append(_epoch(number, steps, wait_s, random, now))
        now += timedelta(seconds=records[-1].duration_s + 0.3)
    values = {
        "start": _text(START),
        "end": _text(now),
        "workload": resolved.to_document(),
        "data_set": {
            "uri": "s3://benchmarks/unet3d-50c4e99413fd", "backend": "s3", "server": "",
            "client": "obstore", "manifest": {"content_digest": "b54c1416de1d848d0f828429a7a50150"},
        },
        "order": {"digest": "9dd7165c5fb6de51d0120cab5ee79d46", "first_sample_ids": [3, 1, 4]},
        "environment": {
            "host": HOST, "command": "cm4storage run --workload=workload.json",
            "file_system": None, "git": GIT,
        },
        "limits": {"max_epochs": None, "max_steps": None},
        "epochs": records,
        "stages": {
            "io": _histogram(random, steps, 0.012), "decode": _histogram(random, steps, 0.002),
        },
        "conduct": {"on_error": "stop", "is_cold": False, "records_order": False, "own_parts": []},
    }  # fmt: skip
    return RunRecord(**{**values, **changes})  # type: ignore[arg-type]


def _epoch(number, steps, wait_s, random, now):
    waits = random.lognormal(np.log(wait_s), 0.5, steps)
    waits[random.random(steps) < 0.01] *= 20
    waits[:1] = 0.35
    computed = random.normal(0.323, 0.004, steps).clip(0.3)
    duration_s = float(waits.sum() + computed.sum()) * 1.001
    return EpochRecord(
        number=number,
        start=_text(now),
        end=_text(now + timedelta(seconds=duration_s)),
        duration_s=duration_s,
        wait_s=waits.tolist(),
        compute_s=computed.tolist(),
        barrier_s=None,
        bytes_read=steps * 7 * 146_600_628,
        samples=steps * 7,
    )


def _histogram(random, count, typical_s):
    histogram = Histogram()
    for value in random.lognormal(np.log(typical_s), 0.6, min(count * 7, 100_000)).tolist():
        histogram.add(value)
    return histogram


def _text(moment):
    return moment.isoformat(timespec="microseconds")

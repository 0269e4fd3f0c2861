"""Records of runs of checkpoints that never took place, of any number of ranks."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
from made_records import FILE_SYSTEM, GIT, HOST, START

from cm4storage.checkpoint.models.layout import Layout
from cm4storage.checkpoint.models.parallelism import closed_ranks
from cm4storage.results.checkpoint_records import CheckpointRunRecord, OperationRecord
from cm4storage.workload.resolve import Request, resolve

GIB_PER_S = {"save": 0.25, "load": 0.4}
"""Of each rank."""


def made_checkpoints(
    ranks: int = 8, writes: int = 10, reads: int = 10, *, model: str = "llama3_8b",
    scale: str = "stock", params: str = "", **changes: object,
) -> CheckpointRunRecord:  # fmt: skip
    """Return the record of a run; the same arguments give the same record.

    Parameters
    ----------
    ranks, writes, reads : int
    model, scale, params : str
        As for a workload.
    **changes
        Other values of the record's fields; ``storage`` and ``page_cache`` change some keys only.
    """
    resolved = resolve(Request(model=model, scale=scale, params=params))  # type: ignore[arg-type]
    layout = Layout(resolved.workload, ranks)
    random = np.random.default_rng(7)
    operations, now = [], START + timedelta(seconds=0.4)
    for kind, count in (("save", writes), ("load", reads)):
        for number in range(1, count + 1):
            together = [_operation(kind, number, r, layout, random, now) for r in range(ranks)]
            operations += together
            now += timedelta(seconds=max(each.duration_s for each in together) + 5)
    spread, total = layout.parallelism, layout.total
    storage = {
        "uri": "file:///mnt/checkpoints/llama_8b", "backend": "file", "server": "", "client": "",
        "fsync": True, "container": "torch", "threads_per_rank": 4, "retries": 0,
    }  # fmt: skip
    page_cache = {"state": "dropped", "resident_before_reading": 0.0}
    values = {
        "start": START.isoformat(timespec="microseconds"),
        "end": now.isoformat(timespec="microseconds"),
        "workload": resolved.to_document(),
        "layout": {
            "ranks": ranks, "prescribed_ranks": closed_ranks(resolved.workload), "hosts": 1,
            "tensor": spread.tensor, "pipeline": spread.pipeline, "data": spread.data,
            "zero_stage": spread.zero_stage, "is_subset": spread.is_subset, "files": total.files,
            "model_bytes": total.model_bytes, "optimizer_bytes": total.optimizer_bytes,
        },
        "environment": {
            "host": HOST, "command": "cm4storage checkpoint --workload=workload.json",
            "file_system": FILE_SYSTEM, "git": GIT,
        },
        "operations": operations,
        **changes,
        "storage": storage | changes.get("storage", {}),  # type: ignore[operator]
        "page_cache": page_cache | changes.get("page_cache", {}),  # type: ignore[operator]
    }  # fmt: skip
    return CheckpointRunRecord(**values)  # type: ignore[arg-type]


def _operation(kind, number, rank, layout, random, now):
    size = layout.size_of(rank)
    duration_s = size.total_bytes / 2**30 / GIB_PER_S[kind] * random.uniform(0.9, 1.1) + 0.01
    return OperationRecord(
        kind=kind,
        number=number,
        rank=rank,
        source_rank=rank,
        start=now.isoformat(timespec="microseconds"),
        end=(now + timedelta(seconds=duration_s)).isoformat(timespec="microseconds"),
        duration_s=duration_s,
        tensor_bytes=size.total_bytes,
        stored_bytes=size.total_bytes + 10_000 * size.files,
        files=size.files,
        content_digest=f"{number:016x}{rank:016x}" if kind == "save" else "",
    )

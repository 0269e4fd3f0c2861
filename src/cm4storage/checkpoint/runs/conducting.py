"""Conduct a run of checkpoints: check its needs, start its ranks, record what they did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cm4storage.checkpoint.models.layout import folder_of
from cm4storage.checkpoint.models.parallelism import closed_ranks
from cm4storage.checkpoint.runs.job import require_checkpoints
from cm4storage.core.errors import StorageFault
from cm4storage.core.units import format_bytes, format_count
from cm4storage.ranks.hub import Hub
from cm4storage.results.checkpoint_records import (
    CheckpointRunRecord,
    OperationRecord,
    local_time,
)
from cm4storage.storage.opening import client_of, open_store

if TYPE_CHECKING:
    from cm4storage.checkpoint.runs.job import CheckpointJob
    from cm4storage.core.progress import Progress
    from cm4storage.storage.store import Store

_RANK_MODULE: Final = "cm4storage.checkpoint.runs.rank"
_STILL_THERE: Final = 0.01
"""The share of pages up to which the page cache counts as dropped: what one reads by chance."""

_HEADROOM: Final = 1.01


def run_checkpoints(job: CheckpointJob, progress: Progress) -> CheckpointRunRecord:
    """Write and read all checkpoints of `job` with all its ranks.

    Raises
    ------
    UserError
        If the workload does something else, cannot be spread over so many ranks, or reads what is
        not there.
    StorageFault
        If there is not enough space, before anything is written; or if the storage fails.
    ProcessDied
        If a rank ended without a word.
    """
    require_checkpoints(job.resolved)
    total_bytes = job.layout.total.total_bytes
    with open_store(job.location) as store:  # keeps an embedded server for all ranks
        _require_space(store, job)
        start = local_time()
        with Hub(_RANK_MODULE, job.ranks, job.to_document()) as hub:
            progress.start(_title(job), total_bytes * (job.writes + job.reads), "B")
            try:
                told = hub.run(progress.advance)[0]
            finally:
                progress.finish()
        return _record(job, told, start, store.uri)


def _title(job: CheckpointJob) -> str:
    parts = [
        f"{verb} {format_count(count, 'checkpoint')}"
        for verb, count in (("writing", job.writes), ("reading", job.reads))
        if count
    ]
    return f"{' and '.join(parts)} on {format_count(job.ranks, 'rank')}"


def _require_space(store: Store, job: CheckpointJob) -> None:
    """Refuse to begin where not all checkpoints fit; those of former runs are written over."""
    free_bytes = store.free_bytes()
    if free_bytes is None or job.writes == 0:
        return
    size_bytes = job.layout.total.total_bytes
    needed_bytes = size_bytes * job.writes * _HEADROOM
    if free_bytes >= needed_bytes:
        return
    there_bytes = sum(
        stat.size_bytes
        for number in range(1, job.writes + 1)
        for stat in store.list(f"{folder_of(number)}/")
    )
    if there_bytes and free_bytes >= needed_bytes - there_bytes + size_bytes:
        return
    raise StorageFault(
        f"not enough space: {format_count(job.writes, 'checkpoint')} of {format_bytes(size_bytes)} "
        f"need {format_bytes(needed_bytes)}, {format_bytes(free_bytes)} are free",
        where=store.uri,
        advice="free some space, choose another --checkpoint_dir, or write fewer: "
        '--params="checkpoint.num_checkpoints_write=N checkpoint.num_checkpoints_read=N"; '
        "nothing was written",
    )


def _record(
    job: CheckpointJob, told: list[dict[str, Any]], start: str, uri: str
) -> CheckpointRunRecord:
    from cm4storage.results import environment

    end = local_time()
    workload = job.resolved.workload
    operations = [OperationRecord(**each) for rank in told for each in rank["operations"]]
    return CheckpointRunRecord(
        start=start,
        end=end,
        workload=job.resolved.to_document(),
        layout=_layout(job),
        storage={
            "uri": uri,
            "backend": job.location.scheme,
            "server": "embedded" if job.location.server_dir else "",
            "client": client_of(job.location),
            "fsync": workload.checkpoint.fsync,
            "container": job.encoding.container,
            "threads_per_rank": job.encoding.threads,
            "retries": sum(rank["retries"] for rank in told),
        },
        page_cache=_page_cache(job, [rank["resident"] for rank in told]),
        environment=environment.of_run(job.command, job.location.local_folder),
        operations=operations,
    )


def _layout(job: CheckpointJob) -> dict[str, Any]:
    layout = job.layout
    spread, total = layout.parallelism, layout.total
    return {
        "ranks": job.ranks,
        "prescribed_ranks": closed_ranks(job.resolved.workload),
        "hosts": 1,
        "tensor": spread.tensor,
        "pipeline": spread.pipeline,
        "data": spread.data,
        "zero_stage": spread.zero_stage,
        "is_subset": spread.is_subset,
        "files": total.files,
        "model_bytes": total.model_bytes,
        "optimizer_bytes": total.optimizer_bytes,
    }


def _page_cache(job: CheckpointJob, resident: list[list[int] | None]) -> dict[str, Any]:
    """Return what became of the page cache between writing and reading."""
    known = [pair for pair in resident if pair is not None]
    if job.reads == 0:
        return {"state": "nothing read", "resident_before_reading": None}
    total_bytes = sum(total for _, total in known)
    if not total_bytes:
        return {"state": "out of reach", "resident_before_reading": None}
    share = sum(left for left, _ in known) / total_bytes
    state = "dropped" if share <= _STILL_THERE else "resident"
    return {"state": state, "resident_before_reading": share}

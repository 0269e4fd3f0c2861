"""The figures of a run's checkpoints."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from cm4storage.core.units import MIB

if TYPE_CHECKING:
    from cm4storage.results.records import CheckpointRecord, RunRecord


@dataclass(frozen=True)
class CheckpointFigures:
    """What checkpoints cost; None where there was none.

    Attributes
    ----------
    written, failed : int
    size_bytes, stored_bytes : int
        Of all that were written: their tensors, and what was stored.
    stall_mean_s, stall_max_s : float or None
        How long the training waited for one, failed ones included.
    write_mib_per_s : float or None
        Bytes of all tensors over the time of all writes.
    """

    written: int
    failed: int
    size_bytes: int
    stored_bytes: int
    stall_mean_s: float | None
    stall_max_s: float | None
    write_mib_per_s: float | None

    @classmethod
    def of(cls, checkpoints: list[CheckpointRecord]) -> CheckpointFigures:
        """Return the figures of these checkpoints."""
        written = [each for each in checkpoints if not each.error]
        stalls_s = [each.stall_s for each in checkpoints]
        write_s = sum(each.write_s for each in written)
        size_bytes = sum(each.size_bytes for each in written)
        return cls(
            written=len(written),
            failed=len(checkpoints) - len(written),
            size_bytes=size_bytes,
            stored_bytes=sum(each.stored_bytes for each in written),
            stall_mean_s=statistics.fmean(stalls_s) if stalls_s else None,
            stall_max_s=max(stalls_s, default=None),
            write_mib_per_s=size_bytes / MIB / write_s if write_s > 0 else None,
        )


def report_fields(record: RunRecord) -> dict[str, Any]:
    """Return what ``report.json`` says of checkpoints."""
    figures = asdict(CheckpointFigures.of(record.checkpoints))
    return {
        **{f"checkpoint_{name}": value for name, value in figures.items()},
        "checkpoints": [asdict(each) for each in record.checkpoints],
        "plugins": record.plugins,
    }


RUN_COLUMNS = (
    "checkpoint_written", "checkpoint_failed", "checkpoint_size_bytes", "checkpoint_stored_bytes",
    "checkpoint_stall_mean_s", "checkpoint_stall_max_s", "checkpoint_write_mib_per_s",
)  # fmt: skip
CHECKPOINT_COLUMNS = (
    *("step", "stall_s", "write_s", "size_bytes", "stored_bytes", "key", "error"),
)
"""Of ``report.csv``: in the row of the run, and in those of checkpoints."""

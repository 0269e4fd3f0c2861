"""``time_series.csv``: what a run does, second by second.

A row holds for the time since the row before it; what is called *so far* holds since the start. A
value that is not known, such as the share of waits where no step has ended, is left empty.
"""

from __future__ import annotations

from cm4storage.core.records import asdict, dataclass, names_of
from cm4storage.core.units import format_count, format_seconds

FILE_NAME = "time_series.csv"


@dataclass(frozen=True)
class Sample:
    """One row.

    Attributes
    ----------
    elapsed_s : float
        Since the start of the first epoch.
    steps : int
        Of the training, so far.
    read_mib_per_s, operations_per_s : float
        What came from storage, and in how many reads.
    wait_share_percent : float or None
        Of the time of the steps that ended: the share in which they waited for their batch.
    queue_depth : int or None
        Full batches that the step loop has not taken yet; None with a loader of the user's.
    cpu_percent : float
        Of one processor, all threads of this process and reader processes together.
    memory_bytes : int or None
        Resident memory of this process.
    au_so_far_percent : float or None
        By the formula of the report, over all epochs up to the last step that ended. Steps that it
        leaves out at the end of an epoch are in it: which these are is not known before.
    wait_p99_so_far_ms : float or None
        Of all steps of the training.
    skipped_files, retries : int
        So far.
    """

    elapsed_s: float
    steps: int
    read_mib_per_s: float
    operations_per_s: float
    wait_share_percent: float | None
    queue_depth: int | None
    cpu_percent: float
    memory_bytes: int | None
    au_so_far_percent: float | None
    wait_p99_so_far_ms: float | None
    skipped_files: int
    retries: int

    def row(self) -> str:
        """Return the row with its end of line."""
        return ",".join(map(_cell, asdict(self).values())) + "\n"

    def text(self) -> str:
        """Return the figures that a person follows, in a few words."""
        au, p99 = self.au_so_far_percent, self.wait_p99_so_far_ms
        parts = [
            "" if au is None else f"AU {au:.1f} %",
            f"{self.read_mib_per_s:,.1f} MiB/s",
            "" if p99 is None else f"wait P99 {format_seconds(p99 / 1e3)}",
            format_count(self.skipped_files + self.retries, "error"),
        ]
        return ", ".join(filter(None, parts))


HEADER = ",".join(names_of(Sample)) + "\n"


def _cell(value: float | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.6g}"

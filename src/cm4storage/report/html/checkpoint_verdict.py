"""What the page of a run of checkpoints says first: its figures, and whether memory is in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cm4storage.core.units import format_count
from cm4storage.report.html import wording
from cm4storage.report.html.verdict import Condition
from cm4storage.results.checkpoint_records import PAGE_CACHE_STATES
from cm4storage.results.checkpoint_run_figures import durations, throughputs

if TYPE_CHECKING:
    from cm4storage.results.checkpoint_records import OperationKind
    from cm4storage.results.checkpoint_run_figures import CheckpointRunFigures

KINDS: Final[tuple[OperationKind, ...]] = ("save", "load")
VERBS: Final = {"save": "written", "load": "read"}
_ASKED_CHECKPOINTS: Final = 10
_HEADLINES: Final = {
    "reached": "The figures are those of the storage",
    "missed": "Memory is in the figures",
    "unknown": "Memory of the service may be in the figures",
}
_LOOKS: Final = {"reached": "good", "missed": "bad", "unknown": "note"}
_MUCH_SLOWER: Final = 1.5


@dataclass(frozen=True)
class Score:
    """The rules' figures of what was written, or read.

    Attributes
    ----------
    verb : {'written', 'read'}
    count : int
    gib_per_s, duration_s : float
        Means over all checkpoints; those of the slowest rank of each.
    gib_per_s_stdev, duration_stdev_s : float or None
        None for a single checkpoint.
    """

    verb: str
    count: int
    gib_per_s: float
    gib_per_s_stdev: float | None
    duration_s: float
    duration_stdev_s: float | None


@dataclass(frozen=True)
class Claim:
    """One claim about the figures, with its reason; state as that of a verdict."""

    state: str
    name: str
    reason: str

    @property
    def look(self) -> str:
        """The class of style."""
        return _LOOKS[self.state]


@dataclass(frozen=True)
class Verdict:
    """The head of the page.

    Attributes
    ----------
    state : str
        ``reached`` where the storage alone was measured, ``missed`` where memory is in the figures,
        ``unknown`` where that is out of sight.
    headline, detail : str
    scores : list of Score
        Of what was written, then of what was read; without what did not happen.
    claims : list of Claim
        Durability and page cache.
    conditions : list of Condition
    not_comparable_because : list of str
    """

    state: str
    headline: str
    detail: str
    scores: list[Score]
    claims: list[Claim]
    conditions: list[Condition]
    not_comparable_because: list[str]

    @property
    def missed(self) -> list[Condition]:
        """The conditions that are not met; the result is valid where there is none."""
        return [each for each in self.conditions if not each.is_met]


def verdict_of(figures: CheckpointRunFigures) -> Verdict:
    """Return the verdict on a run."""
    claims = [each for each in (_durability(figures), _page_cache(figures)) if each]
    states = {each.state for each in claims}
    state = next(each for each in ("missed", "unknown", "reached") if each in states)
    scores = [score for kind in KINDS if (score := _score(figures, kind))]
    return Verdict(
        state, _HEADLINES[state], _detail(figures, scores), scores, claims,
        conditions(figures), figures.not_comparable_because,
    )  # fmt: skip


def _score(figures: CheckpointRunFigures, kind: OperationKind) -> Score | None:
    each = figures.of(kind)
    if not each:
        return None
    rate, duration = throughputs(each), durations(each)
    several = len(each) > 1
    return Score(
        VERBS[kind], len(each),
        rate.mean or 0.0, rate.stdev if several else None,
        duration.mean or 0.0, duration.stdev if several else None,
    )  # fmt: skip


def _detail(figures: CheckpointRunFigures, scores: list[Score]) -> str:
    parts = [
        f"{format_count(each.count, 'checkpoint')} {'were' if each.count > 1 else 'was'} "
        f"{each.verb} in {wording.duration(each.duration_s)}"
        f"{' each' if each.count > 1 else ''}"
        for each in scores
    ]
    return (
        f"{' and '.join(parts)}, by the slowest of {format_count(figures.ranks, 'rank')}: "
        f"{wording.size(figures.size_bytes)} a checkpoint."
    )


def _durability(figures: CheckpointRunFigures) -> Claim | None:
    storage = figures.record.storage
    if not figures.saves:
        return None
    if storage["backend"] not in ("file", "directio"):
        return Claim("reached", "Stored", "the service acknowledged each file within the time")
    if storage["fsync"]:
        return Claim("reached", "Synced", "each file, and its folder, within the measured time")
    where = "the device's cache" if storage["backend"] == "directio" else "memory"
    return Claim("missed", "Not synced", f"what was written may have been in {where} only")


def _page_cache(figures: CheckpointRunFigures) -> Claim | None:
    found = figures.record.page_cache
    text, share = PAGE_CACHE_STATES[found["state"]], found["resident_before_reading"]
    known = "" if share is None else f": it had {wording.percent(share * 100, 0)} of the files"
    claims = {
        "dropped": Claim("reached", "Not cached", f"the page cache was {text}{known}"),
        "resident": Claim("missed", "Cached", f"the page cache was not dropped{known}"),
        "out of reach": Claim("unknown", "Perhaps cached", text),
    }
    return claims.get(found["state"])


def conditions(figures: CheckpointRunFigures) -> list[Condition]:
    """Return what MLPerf Storage asks of checkpoints, as far as one run can show it.

    Source: Rules.md of mlcommons/storage v2.0, Checkpointing: ten are written and ten read, in one
    run or in two; the ranks of the CLOSED division; files are synced, and caches are cleared.
    """
    storage, layout = figures.record.storage, figures.record.layout
    found = [
        Condition(
            f"checkpoints {VERBS[kind]}", f"{_ASKED_CHECKPOINTS}", f"{len(each):,}",
            len(each) == _ASKED_CHECKPOINTS,
        )
        for kind in KINDS if (each := figures.of(kind))
    ]  # fmt: skip
    prescribed = layout["prescribed_ranks"]
    if prescribed and not layout["is_subset"]:
        ranks = figures.ranks
        found.append(Condition("ranks", f"{prescribed:,}", f"{ranks:,}", ranks == prescribed))
    is_quick = figures.workload.scale == "quick"
    found.append(Condition("scale", "stock", figures.workload.scale, not is_quick))
    if figures.saves and storage["backend"] in ("file", "directio"):
        is_synced = bool(storage["fsync"])
        found.append(Condition("files synced", "yes", "yes" if is_synced else "no", is_synced))
    if figures.loads and storage["backend"] in ("file", "directio"):
        state = figures.record.page_cache["state"]
        found.append(Condition("page cache before reading", "dropped", state, state == "dropped"))
    return found


def warnings(figures: CheckpointRunFigures) -> list[str]:
    """Return what weakens the figures of a run, in words."""
    record, found = figures.record, []
    if record.storage["retries"]:
        times = format_count(record.storage["retries"], "request")
        found.append(f"{times} to the storage had to be sent again; the figures have that time.")
    for kind in KINDS:
        if len(figures.of(kind)) == 1:
            found.append(
                f"One checkpoint only was {VERBS[kind]}: nothing is known about the spread."
            )
        found += _stragglers(figures, kind)
    if figures.loads and not figures.saves:
        found.append("What was read was written by another run; its settings are not known here.")
    return found


def _stragglers(figures: CheckpointRunFigures, kind: OperationKind) -> list[str]:
    """Return a warning where the slowest rank takes much longer than the fastest."""
    factors = []
    for one in figures.of(kind):
        spent = [
            each.duration_s for each in figures.record.operations
            if each.kind == kind and each.number == one.number
        ]  # fmt: skip
        factors.append((max(spent) / min(spent) if min(spent) > 0 else 1.0, one.number))
    factor, number = max(factors, default=(1.0, 0))
    if factor < _MUCH_SLOWER:
        return []
    text = (
        f"Checkpoint {number} was {VERBS[kind]} {factor:.1f} times as long by the slowest rank as "
        "by the fastest: ranks share storage unevenly, or their parts are not alike."
    )
    return [text]

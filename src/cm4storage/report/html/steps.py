"""All steps of a run in a row, and groups of them: as many as a plot has room for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from cm4storage.results.records import EpochRecord, RunRecord

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]

MOST_GROUPS = 360


@dataclass(frozen=True)
class Stretch:
    """A named part of the run's time, in seconds since its begin."""

    name: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Steps:
    """The steps of all epochs, one after the other.

    Attributes
    ----------
    start_s, end_s : array
        Seconds since the begin of the run. The record has durations and not moments: steps follow
        each other, and what an epoch took beyond its steps is spread over them evenly.
    wait_s, compute_s : array
    first : array
        For each epoch that has steps: where they begin.
    epochs : list of Stretch
        Those epochs.
    """

    start_s: Floats
    end_s: Floats
    wait_s: Floats
    compute_s: Floats
    first: Integers
    epochs: list[Stretch]

    @property
    def count(self) -> int:
        """How many steps there are."""
        return len(self.wait_s)


def steps_of(record: RunRecord) -> Steps:
    """Return the steps of all epochs of the training."""
    import numpy as np

    starts, ends, epochs, first, now_s = [], [], [], [], 0.0
    with_steps = [epoch for epoch in record.epochs if epoch.compute_s]
    count = 0
    for epoch in with_steps:
        now_s = max(now_s, seconds_between(record.start, epoch.start))
        edges = now_s + _edges_s(epoch)
        starts.append(edges[:-1])
        ends.append(edges[1:])
        epochs.append(Stretch(f"epoch {epoch.number}", now_s, float(edges[-1])))
        first.append(count)
        count += len(epoch.compute_s)
        now_s = float(edges[-1])
    return Steps(
        start_s=np.concatenate(starts or [np.empty(0)]),
        end_s=np.concatenate(ends or [np.empty(0)]),
        wait_s=np.concatenate([np.empty(0), *(np.array(each.wait_s) for each in with_steps)]),
        compute_s=np.concatenate([np.empty(0), *(np.array(each.compute_s) for each in with_steps)]),
        first=np.array(first, dtype=np.int64),
        epochs=epochs,
    )


def seconds_between(begin: str, end: str) -> float:
    """Return the seconds from one recorded moment to another; 0 where one was not recorded."""
    try:
        return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()
    except ValueError:
        return 0.0


def _edges_s(epoch: EpochRecord) -> Floats:
    """Return where the steps of an epoch begin, and where the last ends, from its begin."""
    import numpy as np

    lengths = np.array(epoch.wait_s) + np.array(epoch.compute_s)
    for others_s in (epoch.barrier_s, epoch.plugins_s):
        if others_s:
            lengths += np.array(others_s)
    spare_s = max(0.0, epoch.duration_s - float(lengths.sum()))
    return np.concatenate([[0.0], np.cumsum(lengths + spare_s / len(lengths))])


@dataclass(frozen=True)
class Groups:
    """Steps that lie side by side, taken together.

    No group has steps of two epochs, unless there are more epochs than groups.

    Attributes
    ----------
    steps : Steps
    first, last : array
        Of each group: its first step, and its last.
    """

    steps: Steps
    first: Integers
    last: Integers

    @property
    def start_s(self) -> Floats:
        """When each group begins."""
        return self.steps.start_s[self.first]

    @property
    def end_s(self) -> Floats:
        """When each group ends."""
        return self.steps.end_s[self.last]

    @property
    def sizes(self) -> Integers:
        """How many steps each group has."""
        return self.last - self.first + 1

    def total(self, values: Floats) -> Floats:
        """Return the sum over each group of what each step has."""
        import numpy as np

        return np.add.reduceat(values, self.first)

    def least(self, values: Floats) -> Floats:
        """Return the smallest in each group."""
        import numpy as np

        return np.minimum.reduceat(values, self.first)

    def most(self, values: Floats) -> Floats:
        """Return the largest in each group."""
        import numpy as np

        return np.maximum.reduceat(values, self.first)

    def names(self) -> list[str]:
        """Return for each group which steps of which epoch it has, both counted from 1."""
        import numpy as np

        steps, names = self.steps, [epoch.name for epoch in self.steps.epochs]
        own = np.searchsorted(steps.first, self.first, side="right") - 1
        own_last = np.searchsorted(steps.first, self.last, side="right") - 1
        starts = (self.first - steps.first[own] + 1).tolist()
        stops = (self.last - steps.first[own_last] + 1).tolist()
        return [
            _name(names[a], names[b], start, stop)
            for a, b, start, stop in zip(own, own_last, starts, stops, strict=True)
        ]


def _name(epoch: str, last_epoch: str, start: int, stop: int) -> str:
    if epoch != last_epoch:
        return f"{epoch} to {last_epoch}"
    if start == stop:
        return f"{epoch}, step {start:,}"
    return f"{epoch}, steps {start:,} to {stop:,}"


def grouped(steps: Steps, most: int = MOST_GROUPS) -> Groups:
    """Return `steps` in at most about `most` groups; one step each, where there is room."""
    import numpy as np

    epochs = len(steps.first)
    if epochs > most:
        stride = -(-epochs // most)
        first = steps.first[::stride]
    else:
        ends = np.append(steps.first[1:], steps.count)[:epochs]
        size = max(1, -(-steps.count // most))
        parts = [
            np.linspace(a, b, -(-(b - a) // size), endpoint=False).astype(np.int64)
            for a, b in zip(steps.first.tolist(), ends.tolist(), strict=True)
        ]
        first = np.concatenate([np.empty(0, dtype=np.int64), *parts])
    last = np.append(first[1:], steps.count)[: len(first)] - 1
    return Groups(steps, first, last)

"""The plots over the time of a run: throughput, wait against computation, and step durations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cm4storage.core.units import format_count
from cm4storage.report.html import scales, wording
from cm4storage.report.html.plots import Key, Path, Plot, boxes, line, spots
from cm4storage.report.html.scales import Tick
from cm4storage.report.html.steps import Stretch, seconds_between

if TYPE_CHECKING:
    from cm4storage.report.html.scales import Axis
    from cm4storage.report.html.steps import Floats, Groups
    from cm4storage.results.figures import RunFigures

_MOST_BORDERS = 60
_MOST_NAMES = 6
_SHORTEST_S = 1e-7
"""What is shorter is drawn as this: 0 has no place on an axis of ratios."""


def throughput(figures: RunFigures, groups: Groups) -> Plot:
    """Return samples per second over time, with the slowest and the fastest step of each group."""
    steps, batch = groups.steps, figures.workload.reader.batch_size
    lengths_s = _positive(steps.end_s - steps.start_s)
    mean = groups.sizes * batch / _positive(groups.end_s - groups.start_s)
    low, high = batch / groups.most(lengths_s), batch / groups.least(lengths_s)
    pace = _pace(groups, batch)
    x, y = _time_axis(figures, groups), scales.linear(_top(mean, high, pace))
    x0, x1 = x.places(groups.start_s), x.places(groups.end_s)
    paths = [
        Path("evaluation", _evaluations(figures, x)),
        Path("range", boxes(x0, x1, y.places(low), y.places(high))),
        Path("line", line(x0, x1, y.places(mean))),
    ]
    return Plot(
        name="throughput",
        title="Throughput over time",
        summary=f"{_mean_of(figures)} over "
        f"{format_count(len(steps.epochs), 'epoch')} with {format_count(steps.count, 'step')}; "
        f"{_extremes(mean)}.",
        x=x, y=y, x_title="time since the start of the run", y_title="samples per second",
        paths=paths,
        spots=spots(x0, x1, _throughput_texts(figures, groups, mean, low, high)),
        borders=_borders(groups, x),
        levels=[Tick(y.percent(pace), "")] if 0 < pace <= y.high else [],
        legend=[
            Key("line", "samples handed to the accelerator"),
            *_where_many(groups, "slowest to fastest step"),
            *([Key("level", f"the accelerator's own pace, {wording.number(pace)}")]
              if 0 < pace <= y.high else []),
            *([Key("evaluation", "evaluation")] if figures.record.evaluations else []),
        ],
    )  # fmt: skip


def shares(figures: RunFigures, groups: Groups) -> Plot:
    """Return which share of the time is computation and which is waiting, over time."""
    steps, x = groups.steps, _time_axis(figures, groups)
    lengths_s = _positive(groups.end_s - groups.start_s)
    computing = groups.total(steps.compute_s) / lengths_s
    waiting = groups.total(steps.wait_s) / lengths_s
    x0, x1 = x.places(groups.start_s), x.places(groups.end_s)
    threshold = figures.workload.au_threshold * 100
    texts = [
        f"{name}\ncomputing {wording.percent(c)}, waiting {wording.percent(w)}"
        for name, c, w in zip(
            groups.names(), (computing * 100).tolist(), (waiting * 100).tolist(), strict=True
        )
    ]
    whole_s = float(lengths_s.sum())
    computed = wording.percent(float(steps.compute_s.sum()) / whole_s * 100)
    waited = wording.percent(float(steps.wait_s.sum()) / whole_s * 100)
    return Plot(
        name="shares",
        title="Wait against computation",
        summary=f"Of all time in epochs, {computed} is computation and {waited} is waiting for "
        "batches; the rest is neither, such as checkpoints. The first step of each epoch, which "
        "the formula of the utilization leaves out, is in this plot.",
        x=x, y=scales.share(), x_title="time since the start of the run",
        y_title="share of the time",
        paths=[
            Path("evaluation", _evaluations(figures, x)),
            Path("area", boxes(x0, x1, 0 * computing, computing)),
            Path("wait", boxes(x0, x1, computing, computing + waiting)),
            Path("line", line(x0, x1, computing)),
        ],
        spots=spots(x0, x1, texts),
        borders=_borders(groups, x),
        levels=[Tick(threshold, "")],
        legend=[
            Key("area", "computing"), Key("wait", "waiting for a batch"),
            Key("level", f"threshold, {wording.threshold(threshold)}"),
            *([Key("evaluation", "evaluation")] if figures.record.evaluations else []),
        ],
    )  # fmt: skip


def durations(groups: Groups) -> Plot:
    """Return how long steps waited and computed, by their number, on an axis of ratios."""
    import numpy as np

    steps = groups.steps
    wait_s, compute_s = _positive(steps.wait_s), _positive(steps.compute_s)
    x = scales.counted(steps.count)
    x0, x1 = (x.places(np.asarray(at, dtype=np.float64)) for at in (groups.first, groups.last + 1))
    mean_wait, mean_compute = groups.total(wait_s) / groups.sizes, _mean(groups, compute_s)
    low, high = groups.least(wait_s), groups.most(wait_s)
    shortest = min(float(low.min()), float(compute_s.min()))
    y = scales.logarithmic(shortest, max(float(high.max()), float(compute_s.max())))
    return Plot(
        name="durations",
        title="Step by step",
        summary=f"The longest wait is {wording.duration(float(steps.wait_s.max()))}, the mean "
        f"{wording.duration(float(steps.wait_s.mean()))}; a step computes for "
        f"{wording.duration(float(steps.compute_s.mean()))} in the mean.",
        x=x, y=y, x_title="step of the run", y_title="duration, logarithmic",
        paths=[
            Path("range wait", boxes(x0, x1, y.places(low), y.places(high))),
            Path("line compute", line(x0, x1, y.places(mean_compute))),
            Path("line wait", line(x0, x1, y.places(mean_wait))),
        ],
        spots=spots(x0, x1, _duration_texts(groups, mean_wait, high, mean_compute)),
        borders=_step_borders(groups, x),
        legend=[
            Key("line wait", "wait for a batch"),
            *_where_many(groups, "shortest to longest wait", "range wait"),
            Key("line compute", "computation"),
        ],
    )  # fmt: skip


def offset_stretches(figures: RunFigures) -> list[Stretch]:
    """Return the evaluations as stretches of the run's time."""
    begin = figures.record.start
    return [
        Stretch(f"evaluation {each.number}", start, start + each.duration_s)
        for each in figures.record.evaluations
        for start in [seconds_between(begin, each.start)]
    ]


def run_time(figures: RunFigures, groups: Groups) -> float:
    """Return the seconds from the begin of the run to the end of the last thing that is drawn."""
    ends = [stretch.end_s for stretch in (*groups.steps.epochs, *offset_stretches(figures))]
    record = figures.record
    ends += [seconds_between(record.start, each.end) for each in record.checkpoints]
    return max(ends, default=0.0)


def _time_axis(figures: RunFigures, groups: Groups) -> Axis:
    return scales.time(run_time(figures, groups))


def _positive(lengths_s: Floats) -> Floats:
    import numpy as np

    return np.maximum(lengths_s, _SHORTEST_S)


def _mean(groups: Groups, values: Floats) -> Floats:
    return groups.total(values) / groups.sizes


def _pace(groups: Groups, batch: int) -> float:
    """Return the samples per second that an accelerator takes in that never waits."""
    computed_s = float(groups.steps.compute_s.mean())
    return batch / computed_s if computed_s > 0 else 0.0


def _top(mean: Floats, high: Floats, pace: float) -> float:
    """Return the highest value to draw; single steps out of all proportion are cut off."""
    top = max(float(mean.max()), min(float(high.max()), 2 * float(mean.max())))
    return max(top, pace) if pace <= 2 * top else top


def _mean_of(figures: RunFigures) -> str:
    mean = figures.samples_per_s.mean
    return "Throughput" if mean is None else f"{wording.number(mean)} samples per second"


def _extremes(mean: Floats) -> str:
    low, high = wording.number(float(mean.min())), wording.number(float(mean.max()))
    return f"the curve lies between {low} and {high}"


def _where_many(groups: Groups, text: str, look: str = "range") -> list[Key]:
    return [Key(look, text)] if groups.steps.count > len(groups.first) else []


def _evaluations(figures: RunFigures, x: Axis) -> str:
    import numpy as np

    stretches = offset_stretches(figures)
    if not stretches:
        return ""
    x0 = x.places(np.array([each.start_s for each in stretches]))
    x1 = x.places(np.array([each.end_s for each in stretches]))
    return boxes(x0, x1, 0 * x0, 0 * x0 + 1)


def _borders(groups: Groups, x: Axis) -> list[Tick]:
    epochs = groups.steps.epochs
    return _named([x.percent(each.start_s) for each in epochs], [each.name for each in epochs])


def _step_borders(groups: Groups, x: Axis) -> list[Tick]:
    steps = groups.steps
    places = [x.percent(float(first)) for first in steps.first.tolist()]
    return _named(places, [each.name for each in steps.epochs])


def _named(places: list[float], names: list[str]) -> list[Tick]:
    """Return the begins of epochs; without names where these would not fit, or not at all."""
    if not 1 < len(places) <= _MOST_BORDERS:
        return []
    named = len(places) <= _MOST_NAMES
    return [Tick(at, name if named else "") for at, name in zip(places, names, strict=True)]


def _throughput_texts(
    figures: RunFigures, groups: Groups, mean: Floats, low: Floats, high: Floats
) -> list[str]:
    samples = sum(epoch.samples for epoch in figures.record.epochs)
    read = sum(epoch.bytes_read for epoch in figures.record.epochs)
    mib = read / samples / 2**20 if samples else 0.0
    rows = zip(
        groups.names(), mean.tolist(), low.tolist(), high.tolist(),
        groups.start_s.tolist(), groups.sizes.tolist(), strict=True,
    )  # fmt: skip
    return [
        f"{name}, at {wording.duration(start)}\n{wording.amount(rate, 'samples/s')}"
        + (f" ({wording.number(a)} to {wording.number(b)})" if size > 1 else "")
        + f"\nabout {wording.amount(rate * mib, 'MiB/s')}"
        for name, rate, a, b, start, size in rows
    ]


def _duration_texts(
    groups: Groups, mean_wait: Floats, most: Floats, mean_compute: Floats
) -> list[str]:
    rows = zip(
        groups.names(), mean_wait.tolist(), most.tolist(), mean_compute.tolist(),
        groups.sizes.tolist(), strict=True,
    )  # fmt: skip
    return [
        f"{name}\nwait {wording.duration(wait)}"
        + (f" (longest {wording.duration(longest)})" if size > 1 else "")
        + f"\ncomputation {wording.duration(compute)}"
        for name, wait, longest, compute, size in rows
    ]

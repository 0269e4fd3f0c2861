"""The derived figures of ``summary.json``, computed again from the run's own inputs.

Source: ``utils/statscounter.py`` of dlio_benchmark, in the branches of MLPerf Storage v1.0 and v2.0
and in mlcommons/DLIO_local_changes of v3.0::

    AU of an epoch         = mean over ranks of (mean over blocks, weighted with their steps)
    throughput of an epoch = sum over ranks of the same
    mean, stdev            = numpy.mean, numpy.std over the epochs
    io                     = throughput * record_length / 2^20
    meet_expectation       = success if mean AU >= metric.au * 100
    data_size_per_host_GB  = ranks_per_host * samples_per_file * num_files // ranks * record_length
                             / 2^30
    checkpoints            = mean and stdev over the operations of rank 0; size = rate * duration
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from cm4storage.core.units import GIB, MIB
from cm4storage.results.collecting.averages import BEYOND, deviation, mean
from cm4storage.results.collecting.files import mapping, number, sequence
from cm4storage.results.collecting.measures import checkpoint_operations
from cm4storage.results.collecting.model import Figure, Recomputation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cm4storage.results.collecting.model import Value

_RATES = "throughput_{}_samples_per_second"
_BYTES = "dataset.record_length_bytes"


def of_summary(summary: Mapping[str, Any], parameters: Mapping[str, Value]) -> Recomputation:
    """Recompute what follows from the summary's own epochs and the configuration."""
    metric = mapping(summary.get("metric"))
    found = Recomputation()
    for kind in ("train", "eval"):
        if sequence(metric.get(f"{kind}_au_percentage")):
            found += _of_epochs(kind, metric, parameters)
    if sequence(metric.get("train_au_percentage")):
        found += _size_per_host(summary, parameters)
    return found


def _of_epochs(
    kind: str, metric: Mapping[str, Any], parameters: Mapping[str, Value]
) -> Recomputation:
    au = known(metric.get(f"{kind}_au_percentage"))
    rates = known(metric.get(f"{kind}_throughput_samples_per_second"))
    figures = [
        *_spread(metric, f"{kind}_au_{{}}_percentage", au),
        *_spread(metric, f"{kind}_{_RATES}", rates),
    ]
    found = Recomputation(tuple(figures))
    found += _expectation(kind, metric, au, parameters)
    return found + _io(kind, metric, rates, parameters)


def _expectation(
    kind: str, metric: Mapping[str, Any], au: Sequence[float], parameters: Mapping[str, Value]
) -> Recomputation:
    name, threshold = f"{kind}_au_meet_expectation", number(parameters.get("metric.au"))
    published = metric.get(name)
    if not isinstance(published, str) or not au:
        return Recomputation()
    if threshold is None:
        return Recomputation((), (f"{name}: the configuration has no metric.au",))
    average = mean(au)
    if not math.isfinite(average):
        return Recomputation((), (f"{name}: {BEYOND}",))
    reached = "success" if average >= threshold * 100 else "fail"
    return Recomputation((Figure(name, published, reached),))


def _io(
    kind: str, metric: Mapping[str, Any], rates: Sequence[float], parameters: Mapping[str, Value]
) -> Recomputation:
    pattern = f"{kind}_io_{{}}_MB_per_second"
    if number(metric.get(pattern.format("mean"))) is None:
        return Recomputation()
    size, reason = _record_bytes(parameters)
    if reason:
        return Recomputation((), (f"{pattern.format('mean')}: {reason}",))
    return Recomputation(tuple(_spread(metric, pattern, [rate * size / MIB for rate in rates])))


def _record_bytes(parameters: Mapping[str, Value]) -> tuple[float, str]:
    """Return the nominal size of a sample, or why it is not known."""
    if parameters.get("dataset.record_dims") not in (None, "", "[]"):
        return 0.0, "dataset.record_dims takes the place of the record length"
    if parameters.get("workflow.generate_data") is True:
        return 0.0, "the run generated its data too, which changes DLIO's record length"
    size = number(parameters.get(_BYTES))
    return (size, "") if size else (0.0, "the record length is in no configuration of the run")


def _size_per_host(summary: Mapping[str, Any], parameters: Mapping[str, Value]) -> Recomputation:
    name = "data_size_per_host_GB"
    published = number(summary.get(name))
    names = ("num_accelerators", "num_hosts", "num_files_train", "num_samples_per_file")
    ranks, hosts, files, samples = (int(number(summary.get(each)) or 0) for each in names)
    if published is None or not (ranks and hosts and files and samples):
        return Recomputation()
    size, reason = _record_bytes(parameters)
    if number(summary.get("num_files_eval")):
        reason = "files of an evaluation are counted differently from round to round"
    if reason:
        return Recomputation((), (f"{name}: {reason}",))
    per_host = ranks // hosts * samples * files // ranks
    try:
        return Recomputation((Figure(name, published, per_host * size / GIB),))
    except OverflowError:  # whole numbers have no limit
        return Recomputation((), (f"{name}: {BEYOND}",))


def of_checkpoints(metric: Mapping[str, Any], stats: Mapping[str, Any]) -> Recomputation:
    """Recompute the figures of checkpoints from what rank 0 noted."""
    operations = checkpoint_operations(stats)
    figures: list[Figure] = []
    sizes: list[float] = []
    for kind in ("save", "load"):
        of_kind = [each for _, name, each in operations if name.startswith(kind)]
        durations_s = known([each.get("duration") for each in of_kind])
        rates = known([each.get("throughput") for each in of_kind])
        figures += _spread(metric, f"{kind}_checkpoint_duration_{{}}_seconds", durations_s)
        figures += _spread(metric, f"{kind}_checkpoint_io_{{}}_GB_per_second", rates)
        if len(rates) == len(durations_s):
            pairs = zip(rates, durations_s, strict=True)
            sizes += [rate * duration_s for rate, duration_s in pairs]
    size_gib = number(metric.get("checkpoint_size_GB"))
    if size_gib is not None and sizes:
        figures.append(Figure("checkpoint_size_GB", size_gib, mean(sizes)))
    return Recomputation(tuple(figures))


def known(values: object) -> list[float]:
    """Return the numbers of a list; NaN and null are left out."""
    return [found for each in sequence(values) if (found := number(each)) is not None]


def _spread(metric: Mapping[str, Any], pattern: str, values: Sequence[float]) -> Iterator[Figure]:
    """Yield mean and deviation where they were published."""
    for name, of in (("mean", mean), ("stdev", deviation)):
        published = number(metric.get(pattern.format(name)))
        if published is not None:
            recomputed = of(values) if values else None
            yield Figure(pattern.format(name), published, recomputed)

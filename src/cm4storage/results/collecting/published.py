"""``mlperf_storage_report.json``, computed again from the runs that it is about.

Source: ``report.py`` of mlcommons/storage, branch v1.0: mean and population deviation of the runs'
mean throughputs, and MB = samples * record_length / 2^20.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cm4storage.core.units import MIB
from cm4storage.results.collecting.averages import deviation, mean
from cm4storage.results.collecting.files import (
    UnreadableFileError,
    mapping,
    number,
    read_object,
)
from cm4storage.results.collecting.model import (
    CollectedReport,
    CollectedRun,
    Figure,
    Recomputation,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_RATE = "train_throughput_samples_per_second"
_MB = "train_throughput_MB_per_second"


def recomputed(root: Path, path: Path, runs: Sequence[CollectedRun]) -> CollectedReport:
    """Hold the report in `path` against those of `runs` that lie beside or below it."""
    name = str(path.relative_to(root)) if path != root else path.name
    below = [run for run in runs if run.folder.is_relative_to(path.parent)]
    measured = [run for run in below if "samples_per_s" in run.metrics]
    try:
        document = read_object(path)
    except UnreadableFileError as error:
        return CollectedReport(name, Recomputation((), (str(error),)))
    overall, of_runs = mapping(document.get("overall")), mapping(document.get("runs"))
    if len(measured) != len(of_runs) or not measured:
        reason = f"it is about {len(of_runs)} runs, and {len(measured)} are there"
        return CollectedReport(name, Recomputation((), (reason,)))
    figures = (*_overall(overall, measured), *_of_runs(of_runs, measured))
    return CollectedReport(name, Recomputation(tuple(figures)).finite)


def _overall(overall: Mapping[str, Any], runs: Sequence[CollectedRun]) -> Iterator[Figure]:
    rates = [run.metrics["samples_per_s"] for run in runs]
    sizes = {number(run.parameters.get("dataset.record_length_bytes")) for run in runs}
    size = sizes.pop() if len(sizes) == 1 else None
    for word, of in (("mean", mean), ("stdev", deviation)):
        name = f"train_throughput_{word}_samples_per_second"
        yield Figure(name, number(overall.get(name)), of(rates))
        if size:
            name = f"train_throughput_{word}_MB_per_second"
            yield Figure(name, number(overall.get(name)), of(rates) * size / MIB)


def _of_runs(of_runs: Mapping[str, Any], runs: Sequence[CollectedRun]) -> Iterator[Figure]:
    """Yield the figures of the runs in rising order: submitters name them anew."""
    for name, metric in ((_RATE, "samples_per_s"), (_MB, "nominal_mib_per_s")):
        given = sorted(number(mapping(each).get(name)) or 0.0 for each in of_runs.values())
        found = sorted(run.metrics.get(metric, 0.0) for run in runs)
        for place, (published, again) in enumerate(zip(given, found, strict=True), 1):
            yield Figure(f"{name}, {place} of {len(runs)}", published, again)

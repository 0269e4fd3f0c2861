"""The Python interface: load a workload, run it, and keep its report.

>>> import cm4storage
>>> workload = cm4storage.load_workload("unet3d_h100", scale="quick")
>>> report = cm4storage.run(workload, data_dir="data")  # doctest: +SKIP
>>> report.save("results/first")  # doctest: +SKIP
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cm4storage.checkpoint.choosing import plugins_of
from cm4storage.checkpoint.plugin import CheckpointPlugin
from cm4storage.core.errors import StorageFault, UserError
from cm4storage.core.files import write_text_atomically
from cm4storage.core.progress import NoProgress, Progress
from cm4storage.dataset.preparation import prepare
from cm4storage.loader.benchmark import Job, Run, require_readers, run_benchmark, save_order
from cm4storage.loader.limits import Conduct, Limits
from cm4storage.loader.plugins import Plugins
from cm4storage.plugins.lifecycle import Plugin, by_name
from cm4storage.report.html.page import write_page
from cm4storage.report.table import render
from cm4storage.results import figures
from cm4storage.results.report_files import build_report, write_report_files
from cm4storage.results.summary import summary, write_dlio_files
from cm4storage.results.time_series import FILE_NAME
from cm4storage.storage.location import StoreLocation
from cm4storage.workload import stock
from cm4storage.workload.resolve import Request, resolve

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cm4storage.results.figures import RunFigures
    from cm4storage.results.records import RunRecord
    from cm4storage.workload.model import Scale
    from cm4storage.workload.resolved import Resolved

__all__ = [
    "CheckpointPlugin",
    "Conduct",
    "Limits",
    "Plugin",
    "Plugins",
    "Report",
    "load_workload",
    "run",
]


def load_workload(
    source: str | Path,
    overrides: Mapping[str, object] | str = "",
    *,
    scale: Scale = "stock",
    seed: int | None = None,
) -> Resolved:
    """Return a checked workload.

    Parameters
    ----------
    source : str or Path
        The name of a stock workload, such as ``unet3d_h100``, or a DLIO YAML file.
    overrides : mapping or str
        Values by key, ``{"reader.read_threads": 4}``, or the text of ``--params``.
    scale : {'stock', 'quick'}
        The sizes of the YAML, or fewer and smaller files.
    seed : int, optional
        Takes the place of ``train.seed``.

    Raises
    ------
    UserError
        For an unknown name, a bad file or override, or a combination that cannot work.
    """
    params = overrides if isinstance(overrides, str) else _params(overrides)
    if str(source) in stock.names():
        return resolve(Request(str(source), scale=scale, params=params, seed=seed))
    return resolve(Request(config=Path(source), scale=scale, params=params, seed=seed))


def run(
    workload: Resolved,
    *,
    data_dir: str | Path = "data",
    endpoint_url: str | None = None,
    limits: Limits | None = None,
    conduct: Conduct | None = None,
    plugins: Plugins | Iterable[Plugins | Plugin] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Run a workload; its data set is generated first where it is missing.

    Parameters
    ----------
    workload : Resolved
        What `load_workload` returned.
    data_dir : str or Path
        Where data sets are kept: a folder, ``directio:///folder``, ``s3://bucket/prefix`` or
        ``az://container/prefix``.
    endpoint_url : str, optional
        The S3 or Azure service; credentials come from the ``AWS_*`` or ``AZURE_STORAGE_*``
        variables.
    limits, conduct : optional
        What to leave out, and how to deal with what goes wrong.
    plugins : Plugins or iterable, optional
        `Plugins` are parts that take the place of ours, else those that the workload names; a
        list may have objects in it, too, that are called in the course of the run (`Plugin`).
    progress : Progress, optional
        Shows generation and training; nothing is shown without it.

    Raises
    ------
    UserError
        If the location or a plugin is wrong.
    StorageFault
        If the storage fails or data are damaged.
    """
    shown = progress or NoProgress()
    root = StoreLocation.parse(os.fspath(data_dir), endpoint_url=endpoint_url)
    parts, others = _split(plugins)
    called = _called(workload, others)
    job = Job(
        resolved=workload,
        data_root=root,
        limits=limits or Limits(),
        command="cm4storage.run(...)",
        conduct=conduct or Conduct(),
        plugins=parts,
        lifecycle=called,
    )
    require_readers(job)  # before data are made
    prepare(workload.workload, root, shown, lambda _line: None)
    return Report(run_benchmark(job, shown))


def _split(
    plugins: Plugins | Iterable[Plugins | Plugin] | None,
) -> tuple[Plugins, list[Plugin]]:
    """Return the parts in place of ours, and the plugins that are called.

    Raises
    ------
    UserError
        If there are two sets of parts.
    """
    if plugins is None or isinstance(plugins, Plugins):
        return plugins or Plugins(), []
    parts: list[Plugins] = []
    called: list[Plugin] = []
    for each in plugins:
        if isinstance(each, Plugins):
            parts.append(each)
        else:
            called.append(each)
    if len(parts) > 1:
        raise UserError("plugins: there are two Plugins", advice="put all parts into one")
    return (parts or [Plugins()])[0], called


def _called(workload: Resolved, given: list[Plugin]) -> dict[str, Plugin]:
    """Return the plugins of the workload and those that are given; a checkpoint goes before its."""
    table = by_name(given)
    return {**{n: p for n, p in plugins_of(workload.workload).items() if n not in table}, **table}


@dataclass(frozen=True)
class Report:
    """A finished run and its figures.

    Attributes
    ----------
    run : Run
    """

    run: Run

    @property
    def record(self) -> RunRecord:
        """What happened, step by step."""
        return self.run.record

    @property
    def figures(self) -> RunFigures:
        """Accelerator utilization, throughput and rates, with their spread."""
        return figures.of_run(self.run.record)

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``report.json``."""
        return build_report(self.figures)

    def to_mlperf_json(self) -> dict[str, Any]:
        """Return the content of DLIO's ``summary.json``, which MLPerf Storage's tools read."""
        return summary(self.figures)

    def save(self, path: str | Path) -> Path:
        """Write the record, the reports and DLIO's files to a folder, and return it.

        Raises
        ------
        StorageFault
            If they cannot be written.
        """
        folder = Path(path)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageFault(
                f"cannot make the folder of the report: {error.strerror}", where=str(folder)
            ) from error
        self.run.record.save(folder)
        if self.record.conduct.get("records_order"):
            save_order(self.run, self.figures.workload, folder)
        write_text_atomically(folder / FILE_NAME, self.run.time_series)
        write_report_files(self.figures, folder)
        write_page(self.figures, folder, self.record.environment["command"])
        write_dlio_files(self.figures, folder)
        return folder

    def __str__(self) -> str:
        return render(self.to_json(), "not saved", "cm4storage.run(...)")


def _params(overrides: Mapping[str, object]) -> str:
    """Return overrides as the text of ``--params``."""
    import json
    import shlex

    return " ".join(
        shlex.quote(f"{key}={value if isinstance(value, str) else json.dumps(value)}")
        for key, value in overrides.items()
    )

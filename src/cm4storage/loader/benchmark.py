"""One benchmark run from its job to the folder that holds its record."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from cm4storage.core.errors import StorageFault
from cm4storage.dataset.opening import OpenDataset, open_dataset
from cm4storage.loader.running import Outcome, Trainer
from cm4storage.ranks.communicator import SingleProcess
from cm4storage.results import environment
from cm4storage.results.records import RunRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cm4storage.core.progress import Progress
    from cm4storage.loader.limits import Limits
    from cm4storage.storage.location import StoreLocation
    from cm4storage.workload.resolve import Resolved


@dataclass(frozen=True)
class Job:
    """Everything that one run needs.

    Attributes
    ----------
    resolved : Resolved
        The workload.
    data_root : StoreLocation
        Where data sets are kept.
    results_dir : Path
        Where results go, absolute.
    limits : Limits
    command : str
        How the run was started, without secrets; recorded.
    """

    resolved: Resolved
    data_root: StoreLocation
    results_dir: Path
    limits: Limits
    command: str


@dataclass(frozen=True)
class Finished:
    """A run's record and the folder it is in."""

    record: RunRecord
    folder: Path


def run_benchmark(job: Job, progress: Progress) -> Finished:
    """Run `job` and leave its record in a new folder, complete or not at all.

    Raises
    ------
    UserError
        If the data set does not exist.
    StorageFault
        If the data set cannot be read or is damaged, or the results cannot be written.
    """
    workload = job.resolved.workload
    parent = job.results_dir / "training" / workload.model.name / "run"
    with _unfinished(parent, job.results_dir) as unfinished:
        start = datetime.now().astimezone()
        with open_dataset(workload, job.data_root) as dataset:
            trainer = Trainer(workload, dataset.store, SingleProcess(), progress)
            outcome = trainer.run(job.limits)
        record = _record(job, dataset, outcome, start)
        record.save(unfinished)
        return Finished(record, _publish(unfinished, parent, start))


@contextlib.contextmanager
def _unfinished(parent: Path, results_dir: Path) -> Iterator[Path]:
    """Lend a hidden folder in `parent`; what is not published is removed, empty parents too."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=parent))
    except OSError as error:
        raise StorageFault(
            f"cannot make a folder for the results: {error.strerror}",
            where=str(error.filename or parent),
            advice="choose another folder with --results_dir",
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _remove_empty(parent, results_dir)


def _remove_empty(folder: Path, last: Path) -> None:
    with contextlib.suppress(OSError):
        while folder != last.parent:
            folder.rmdir()
            folder = folder.parent


def _publish(unfinished: Path, parent: Path, start: datetime) -> Path:
    """Rename the folder to the time of the start, or to the next second that is free.

    A folder that exists is never empty, and so the rename fails on it: names are exclusive.
    """
    unfinished.chmod(0o777 & ~_umask())
    for second in range(3600):
        name = (start + timedelta(seconds=second)).strftime("%Y%m%d_%H%M%S")
        with contextlib.suppress(OSError):
            return unfinished.rename(parent / name)
    raise StorageFault("cannot name the folder of the results", where=str(parent))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _record(job: Job, dataset: OpenDataset, outcome: Outcome, start: datetime) -> RunRecord:
    end = datetime.now().astimezone()
    host = environment.describe()
    return RunRecord(
        start=start.replace(tzinfo=None).isoformat(timespec="microseconds"),
        end=end.replace(tzinfo=None).isoformat(timespec="microseconds"),
        workload=job.resolved.to_document(),
        data_set={
            "uri": dataset.store.uri,
            "backend": job.data_root.scheme,
            "server": "embedded" if job.data_root.server_dir else "",
            "manifest": dataset.manifest.to_json(),
        },
        order={
            "digest": outcome.order_digest,
            "first_sample_ids": outcome.first_sample_ids,
        },
        environment={"host": host, "command": job.command},
        epochs=outcome.epochs,
        stages={"io": outcome.counters.io, "decode": outcome.counters.decode},
    )

"""One run as ``dlio_benchmark`` conducts it: the same places for data, results and settings."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from cm4storage.core.errors import StorageFault, UserError, redact_urls
from cm4storage.core.files import write_text_atomically
from cm4storage.dataset.in_place import open_in_place
from cm4storage.dataset.placement import at_root
from cm4storage.dataset.preparation import prepare
from cm4storage.loader.benchmark import Job, run_benchmark
from cm4storage.loader.limits import Limits
from cm4storage.results import figures
from cm4storage.results.summary import STATS_NAME, write_statistics
from cm4storage.storage.location import StoreLocation
from cm4storage.workload.dialects import RELEASE_2024
from cm4storage.workload.entries import nested
from cm4storage.workload.interpolation import Interpolation
from cm4storage.workload.resolve import kept
from cm4storage.workload.rules import require_training

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cm4storage.core.progress import Progress
    from cm4storage.plugins.lifecycle import Plugin
    from cm4storage.results.figures import RunFigures
    from cm4storage.workload.explain import Explained
    from cm4storage.workload.hydra_line import HydraLine
    from cm4storage.workload.model import Workload


_VARIABLES = {
    "storage.storage_options.access_key_id": "AWS_ACCESS_KEY_ID",
    "storage.storage_options.secret_access_key": "AWS_SECRET_ACCESS_KEY",
    "storage.storage_options.session_token": "AWS_SESSION_TOKEN",
    "storage.storage_options.region": "AWS_REGION",
}


@dataclass(frozen=True)
class DlioRun:
    """A run that was asked for on a command line of ``dlio_benchmark``.

    Attributes
    ----------
    line : HydraLine
    explained : Explained
        The workload, free of errors.
    run_dir : Path
        ``hydra.run.dir``, absolute.
    command : str
        How it was started; recorded.
    lifecycle : mapping
        The plugins of the workload by their names.
    """

    line: HydraLine
    explained: Explained
    run_dir: Path
    command: str
    lifecycle: Mapping[str, Plugin] = field(default_factory=dict)

    @property
    def output_dir(self) -> Path:
        """Where the results go: ``output.folder``, by default the folder of the run."""
        folder = self.explained.workload.output.folder
        return self.run_dir if folder is None else Path(folder).absolute()

    def conduct(self, progress: Progress, say: Callable[[str], None]) -> RunFigures | None:
        """Generate and train, as the workflow says; None where nothing was to be trained.

        Raises
        ------
        UserError
            If there is nothing that this version can run, or no data set.
        StorageFault
            If the storage fails, or the results cannot be written.
        """
        workload = self.explained.workload
        if not workload.workflow.generate_data:
            require_training(workload, self.explained.source)
        begin = datetime.now().astimezone()
        location = self.prepare(progress, say)
        if not workload.workflow.train:
            self._log_generation(begin)
            return None
        return self._train(location, progress)

    def prepare(self, progress: Progress, say: Callable[[str], None]) -> StoreLocation:
        """Make the folders, and generate a data set where the workflow wants one; say where it is.

        Raises
        ------
        StorageFault
            As `conduct`.
        """
        workload = self.explained.workload
        _lend_credentials(self.explained, self.line)
        location = data_location(workload)
        self._make_folders()
        if workload.workflow.generate_data:
            prepared = prepare(workload, location, progress, say, placement=at_root)
            say(f"data set {location.uri}: {prepared.reason}")
        return location

    def _train(self, location: StoreLocation, progress: Progress) -> RunFigures:
        resolved = kept(self.explained)
        job = Job(
            resolved,
            location,
            Limits(),
            self.command,
            lifecycle=self.lifecycle,
            open_data=open_in_place,
        )
        run = run_benchmark(job, progress)
        computed = figures.of_run(run.record)
        is_old = self.explained.dialect.name == RELEASE_2024
        write_statistics(
            computed,
            self.output_dir,
            stats_name="per_epoch_stats.json" if is_old else STATS_NAME,
            log_name=self.explained.workload.output.log_file,
        )
        if self.line.output_subdir is not None:
            run.record.save(self.run_dir / self.line.output_subdir)
        return computed

    def _make_folders(self) -> None:
        """Make the folders and keep the configuration, before anything else is done."""
        try:
            self.run_dir.mkdir(parents=True, exist_ok=True)
            self.output_dir.mkdir(parents=True, exist_ok=True)
            if self.line.output_subdir is not None:
                self._write_config(self.run_dir / self.line.output_subdir)
        except OSError as error:
            raise StorageFault(
                f"cannot make the folder of the run: {error.strerror}",
                where=str(error.filename),
                advice="choose another with ++hydra.run.dir=FOLDER",
            ) from error

    def _write_config(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name, document in (
            ("config.yaml", {"workload": self.explained.as_written()}),
            ("overrides.yaml", list(self.line.task)),
            ("hydra.yaml", hydra_config(self.line, self.run_dir)),
        ):
            text = yaml.safe_dump(redact_urls(document), sort_keys=False)
            write_text_atomically(folder / name, text)

    def _log_generation(self, begin: datetime) -> None:
        """Write the only file that DLIO leaves of a run that generates and does not train."""
        end = datetime.now().astimezone()
        lines = (
            (begin, "Running DLIO with 1 process(es)"),
            (begin, "Starting data generation"),
            (end, "Generation done"),
        )
        text = "".join(
            f"[OUTPUT] {moment.replace(tzinfo=None).isoformat(timespec='microseconds')} {line}\n"
            for moment, line in lines
        )
        write_text_atomically(self.output_dir / self.explained.workload.output.log_file, text)


def _lend_credentials(explained: Explained, line: HydraLine) -> None:
    """Put what the workload says of credentials where the S3 client looks for it: nowhere else."""
    entries = explained.settings.entries
    inner = Interpolation(entries, line.surroundings())
    for path, variable in _VARIABLES.items():
        if path in entries:
            try:
                os.environ[variable] = str(inner.value(entries[path]))
            except ValueError as error:
                raise UserError(f"{path}: {error}") from error


def data_location(workload: Workload) -> StoreLocation:
    """Return where DLIO has the data of `workload`: ``data_folder`` in ``storage_root``.

    Raises
    ------
    UserError
        For a storage that this version does not have.
    """
    folder = workload.dataset.data_folder
    path = os.path.join(workload.storage.storage_root, folder)  # noqa: PTH118
    return _location(workload, folder, path)


def checkpoint_location(workload: Workload) -> StoreLocation:
    """Return where DLIO has the checkpoints: ``checkpoint_folder``, an object's name in S3.

    Raises
    ------
    UserError
        As `data_location`.
    """
    folder = workload.checkpoint.checkpoint_folder
    return _location(workload, folder, folder)


def _location(workload: Workload, folder: str, path: str) -> StoreLocation:
    storage = workload.storage
    if storage.storage_type in ("local_fs", "direct_fs"):
        return StoreLocation.parse(path)
    if storage.storage_type != "s3":
        raise UserError(
            f"storage.storage_type: {storage.storage_type} is not supported by this version",
            advice="use local_fs or s3",
        )
    endpoint = (storage.endpoint_url or "").split(",")[0].strip() or None
    bucket = storage.storage_root.removeprefix("s3://").strip("/")
    uri = folder if folder.startswith("s3://") else f"s3://{bucket}/{folder.strip('/')}"
    return StoreLocation.parse(uri, endpoint_url=endpoint)


def hydra_config(line: HydraLine, run_dir: Path) -> dict[str, Any]:
    """Return Hydra's own settings, as far as there are any here."""
    settings: dict[str, Any] = {
        "run.dir": str(run_dir),
        "output_subdir": line.output_subdir,
        "overrides.hydra": list(line.hydra_words),
        "overrides.task": list(line.task),
        "job.name": "dlio_benchmark",
        "runtime.cwd": str(Path.cwd()),
        "runtime.output_dir": str(run_dir),
        "runtime.choices.workload": line.workload,
    }
    written = {name: v for name, v in line.hydra.items() if "/" not in name}
    return {"hydra": nested(written | settings)}

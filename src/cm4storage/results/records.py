"""What a run leaves behind, before any figure is computed from it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import UserError
from cm4storage.core.files import write_json_atomically
from cm4storage.core.versions import check_version, version_of
from cm4storage.results.histogram import Histogram
from cm4storage.results.orders import of_first_alone
from cm4storage.results.record_places import record_in

if TYPE_CHECKING:
    from pathlib import Path

FILE_NAME = "run.json"
SCHEMA = "cm4storage.run"
VERSION = 6


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of one rank.

    Attributes
    ----------
    number : int
        Counted from 1.
    start, end : str
        Local wall-clock times, ISO 8601 with microseconds.
    duration_s : float
        From the start of the epoch's readers to the end of its last step, monotonic clock.
    wait_s, compute_s : list of float
        For each step: seconds waited for the batch, and seconds of emulated computation.
    barrier_s : list of float or None
        For each step: seconds waited for the other ranks; None with one rank.
    h2d_s : list of float or None
        For each step: seconds in which a compute step of the user's moved the batch to its device.
    plugins_s : list of float or None
        For each step: seconds that plugins took before and after it, which are part of
        `duration_s` and of nothing else; None where there were none.
    cpu_s : float or None
        Seconds that this process and reader processes computed, in the kernel too; None: not
        known.
    bytes_read, samples : int
        What came from storage, and how many samples were handed over.
    skipped_files : int
        Files that could not be read and were left out, where the user asked for that.
    resident_before, resident_after : float or None
        Share of the data set's pages in this machine's page cache, 0 to 1; None: not known.
    order_digest : str or None
        Of the order in which the whole epoch reads its samples, also where a limit ends it early;
        None: not known.
    """

    number: int
    start: str
    end: str
    duration_s: float
    wait_s: list[float]
    compute_s: list[float]
    barrier_s: list[float] | None
    bytes_read: int
    samples: int
    h2d_s: list[float] | None = None
    skipped_files: int = 0
    resident_before: float | None = None
    resident_after: float | None = None
    plugins_s: list[float] | None = None
    cpu_s: float | None = None
    order_digest: str | None = None

    @property
    def loading_s(self) -> float:
        """Seconds of the epoch without those of plugins: the blocks between DLIO's checkpoints."""
        return self.duration_s - sum(self.plugins_s or ())

    @property
    def process_s(self) -> list[float]:
        """Seconds of each step, wait and computation together: DLIO's ``proc``."""
        return [w + c for w, c in zip(self.wait_s, self.compute_s, strict=True)]


@dataclass(frozen=True)
class CheckpointRecord:
    """One checkpoint of one rank.

    Attributes
    ----------
    step : int
        The step that it follows, counted from 1 over all epochs.
    epoch : int or None
        The epoch that the step belongs to.
    start, end : str
        Of the stall and of the write, as in `EpochRecord`.
    stall_s : float
        Seconds in which the training waited.
    write_s : float
        Seconds from the first byte to the complete checkpoint; after the stall where it is written
        in the background.
    size_bytes, stored_bytes : int
        Bytes of the tensors, and of what was written.
    key : str
        Its name in the store; empty where it failed.
    error : str
        Why it failed, where the run went on; else empty.
    """

    step: int
    epoch: int | None
    start: str
    end: str
    stall_s: float
    write_s: float
    size_bytes: int
    stored_bytes: int
    key: str
    error: str = ""


@dataclass(frozen=True)
class RunRecord:
    """One run of one rank.

    Attributes
    ----------
    start, end : str
        As in `EpochRecord`.
    workload : dict
        The workload file's content.
    data_set : dict
        Its URI, manifest, backend and, where that is an object service, client.
    order : dict
        ``digest`` over the orders of all epochs, see `cm4storage.results.orders`, and the first
        sample ids of the first one; null where a loader of the user's orders.
    environment : dict
        Host, software and the command; ``file_system`` of local data and ``git`` of the source,
        null where there is none.
    limits : dict
        ``max_epochs`` and ``max_steps``; null where there was none.
    epochs : list of EpochRecord
    stages : dict
        Histograms by stage: ``io`` for each read, ``decode`` and ``preprocess`` for each sample; a
        stage that did not happen is not in it.
    evaluations : list of EpochRecord
        Each with the number of the epoch that it follows.
    conduct : dict
        ``on_error``, ``is_cold``, ``records_order``, ``readers``, and in ``own_parts`` the parts of
        the loader that are the caller's, in ``added_plugins`` the names of such plugins; the
        workload names neither. In ``plugin_options`` what plugins tell of their options, in
        ``changed_options`` those that are others than the workload's.
    faults : list of str
        The first errors of skipped files.
    retries : int
        How many requests to the storage were sent again, as far as the client tells.
    checkpoints : list of CheckpointRecord
    plugins : dict
        By the name of each plugin and of its methods: the seconds that were spent there.
    peak_memory_bytes : int or None
        The most memory that the process has had resident, from its start on.
    """

    start: str
    end: str
    workload: dict[str, Any]
    data_set: dict[str, Any]
    order: dict[str, Any]
    environment: dict[str, Any]
    limits: dict[str, int | None]
    epochs: list[EpochRecord]
    stages: dict[str, Histogram] = field(default_factory=dict)
    evaluations: list[EpochRecord] = field(default_factory=list)
    conduct: dict[str, Any] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    retries: int = 0
    checkpoints: list[CheckpointRecord] = field(default_factory=list)
    plugins: dict[str, dict[str, float]] = field(default_factory=dict)
    peak_memory_bytes: int | None = None

    def save(self, folder: Path) -> None:
        """Write the record to `folder`."""
        document = {"schema": SCHEMA, "version": VERSION, **asdict(self)}
        document["stages"] = {name: stage.to_json() for name, stage in self.stages.items()}
        write_json_atomically(folder / FILE_NAME, document)


def load(folder: Path) -> RunRecord:
    """Read the record of the run in `folder`, or beside its configuration.

    Raises
    ------
    UserError
        If there is none, or a newer release wrote it.
    """
    path = record_in(folder, FILE_NAME)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        check_version(version_of(document, SCHEMA), VERSION, "the run's record", str(path))
        return _from_document(document)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            "there is no readable record of a run",
            where=str(path),
            advice="name the folder of one run, such as results/training/unet3d/run/<time>",
        ) from error


def _from_document(document: dict[str, Any]) -> RunRecord:
    version = document.pop("version")
    del document["schema"]
    # Version 1 had no evaluations, 2 no retries, 3 no plugins and checkpoints, 4 no
    # CPU seconds and peak memory, 5 no order but that of the first epoch.
    if version < 6:
        order = document["order"]
        digest, document["epochs"] = of_first_alone(order["digest"], document["epochs"])
        document["order"] = {**order, "digest": digest}
    for name in ("epochs", "evaluations"):
        document[name] = [EpochRecord(**epoch) for epoch in document.get(name, [])]
    document["checkpoints"] = [CheckpointRecord(**c) for c in document.get("checkpoints", [])]
    document["stages"] = {
        name: Histogram.from_json(stage) for name, stage in document["stages"].items()
    }
    return RunRecord(**document)

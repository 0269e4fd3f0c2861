"""The plugin that writes checkpoints in the course of a training."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import warnings
from dataclasses import dataclass, replace
from operator import index
from typing import TYPE_CHECKING, Any, Final

from cm4storage.checkpoint.background import Background
from cm4storage.checkpoint.cadence import Due
from cm4storage.checkpoint.catalogue import Checkpoints, Found
from cm4storage.checkpoint.placing import place_of
from cm4storage.checkpoint.restoring import DamagedCheckpoint
from cm4storage.checkpoint.settings import CheckpointSettings
from cm4storage.checkpoint.state import StatePayload
from cm4storage.checkpoint.workload_payload import payload_of
from cm4storage.core.errors import StorageFault, UserError
from cm4storage.core.moments import local_now
from cm4storage.plugins.lifecycle import Plugin
from cm4storage.results.records import CheckpointRecord
from cm4storage.storage.location import StoreLocation
from cm4storage.storage.opening import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from cm4storage.checkpoint.payload import Payload
    from cm4storage.checkpoint.tensors import Tensor
    from cm4storage.plugins.lifecycle import RunContext, StateSource
    from cm4storage.storage.store import Store

_ADVICE: Final = "free space or repair the storage; on_error: warn lets the training go on without"


class _GivenUp(Exception):
    """The run was interrupted while a checkpoint was written in the background."""


@dataclass(frozen=True)
class Restored:
    """A checkpoint that has been read and compared.

    Attributes
    ----------
    step : int
    epoch : int or None
    state : object
        What was handed in, its arrays as numpy's; of an emulated model the tensors by name.
    passed_over : tuple of (int, str)
        Newer ones, by their step, and why they were passed over.
    """

    step: int
    epoch: int | None
    state: Any
    passed_over: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class _Begun:
    """A checkpoint on its way."""

    step: int
    epoch: int | None
    start: str
    payload: Payload


@dataclass(frozen=True)
class _Ended:
    """What became of a checkpoint."""

    end: str
    write_s: float
    size_bytes: int = 0
    stored_bytes: int = 0
    key: str = ""
    fault: StorageFault | None = None


class CheckpointPlugin(Plugin):
    """Writes checkpoints after steps or epochs, in a training of ours or in any other loop.

    In another loop it is a context manager, which initializes and finalizes it.

    Parameters
    ----------
    location : str, Path or StoreLocation, optional
        Where checkpoints go; in a training of ours the settings or the workload say that.
    settings : CheckpointSettings, optional
    **options
        Of `CheckpointSettings`, in the place of those of `settings`.

    Attributes
    ----------
    checkpoints : list of CheckpointRecord
        Those that are complete or have failed.
    changed_options : list of str
        The options that are others than the workload asks for; recorded.

    Raises
    ------
    UserError
        If an option is wrong.
    """

    name = "checkpoint"

    def __init__(
        self,
        location: str | Path | StoreLocation | None = None,
        settings: CheckpointSettings | None = None,
        **options: object,
    ) -> None:
        self.settings = (settings or CheckpointSettings()).with_options(options)
        if location is None or isinstance(location, StoreLocation):
            self._location = location
        else:
            self._location = StoreLocation.parse(os.fspath(location))
        self.checkpoints: list[CheckpointRecord] = []
        self.changed_options: list[str] = []
        self._steps = Due(self.settings.step_cadence)
        self._epochs = Due(self.settings.epoch_cadence)
        self._context: RunContext | None = None
        self._interrupted = threading.Event()
        self._background: Background[_Ended] = Background()
        self._in_flight: tuple[_Begun, float] | None = None
        self._resources = contextlib.ExitStack()
        self._store: Store | None = None
        self._uri = ""
        self._step = 0
        self._epoch: int | None = None

    @property
    def options(self) -> dict[str, Any]:
        """The options that are not at their defaults, and where checkpoints went; recorded."""
        return self.settings.to_plain() | ({"location": self._uri} if self._uri else {})

    def __enter__(self) -> CheckpointPlugin:
        self.initialize()
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is not None and not issubclass(kind, Exception):
            self._interrupted.set()
        if kind is None:
            self.finalize()
            return
        with contextlib.suppress(Exception):  # what ended the loop goes before it
            self.finalize()

    def initialize(self, context: RunContext | None = None) -> None:
        """Open the store; `context` is None in another loop."""
        self._context = context
        self._background = Background()  # the last run's has ended
        self._interrupted = threading.Event() if context is None else context.interrupted
        location = self._place()
        if context is not None:  # what it imports is not for the first checkpoint to wait for
            payload_of(context.workload, 0, context.ranks.rank)
        self._store = self._resources.enter_context(
            open_store(location, fsync=self.settings.fsync and location.is_folder)
        )
        self._uri = self._store.uri

    def before_epoch(self, epoch: int) -> None:
        """Note the number of the epoch."""
        self._epoch = index(epoch)

    def after_step(self, step: int, state: StateSource = None) -> None:
        """Write a checkpoint if one is due.

        Parameters
        ----------
        step : int
            How many steps the run has taken.
        state : mapping or callable, optional
            What is saved: arrays, tensors, numbers and texts in nested mappings, such as
            ``{"model": model.state_dict(), "optimizer": optimizer.state_dict()}``, or a function
            that returns it, which is called only when a checkpoint is due.

        Raises
        ------
        StorageFault
            If this checkpoint, or the last one in the background, cannot be written.
        UserError
            If there is no state, or something in it that cannot be saved.
        """
        self._step = index(step)  # those of numpy and torch are no numbers for JSON
        if self._background.is_ready:
            self._collect()
        if self._steps.is_due(self._step):
            self._save(self._step, state)

    def after_epoch(self, epoch: int, state: StateSource = None) -> None:
        """Write a checkpoint if one is due; see `after_step`.

        Its step is the last of the epoch, or the epoch where nobody tells of steps.
        """
        self._epoch = index(epoch)
        if self._background.is_ready:
            self._collect()
        if self._epochs.is_due(self._epoch):
            self._save(self._step or self._epoch, state)

    def finalize(self) -> None:
        """Wait for what is written in the background, or give it up; close the store."""
        try:
            if self._interrupted.is_set():
                self._background.close()  # its payload ends the write at the next block
            if self._background.is_busy:
                self._collect()
        finally:
            if self._background.is_busy:  # the wait was interrupted
                self._interrupted.set()
            self._background.close()
            self._resources.close()
            self._store = None

    def restore(self, convert: Callable[[Any], Any] | None = None) -> Restored | None:
        """Read the newest checkpoint of which every byte is as it was written; None: there is none.

        What follows is due as if the run had never ended.

        Parameters
        ----------
        convert : callable, optional
            Makes of each array of numpy what the state needs, such as ``torch.from_numpy``.

        Raises
        ------
        StorageFault
            If the storage fails.
        """
        checkpoints = self._catalogue()
        found, state = _newest_state(checkpoints)
        if found.manifest is None:
            return None
        if convert is not None:
            state = _converted(state, convert)
        manifest = found.manifest
        self._epoch = manifest.epoch
        self._steps.is_due(manifest.step)
        if manifest.epoch is not None:
            self._epochs.is_due(manifest.epoch)
        return Restored(manifest.step, manifest.epoch, state, found.passed_over)

    def _place(self) -> StoreLocation:
        if self._location is not None:
            return self._location
        if self._context is not None:
            folder = self._context.workload.checkpoint.checkpoint_folder
            return place_of(self.settings, folder, self._context.data_root)
        if self.settings.checkpoint_dir:
            return StoreLocation.parse(self.settings.checkpoint_dir)
        raise UserError(
            "checkpoint: it is not known where to", advice="name a location, or checkpoint_dir"
        )

    def _catalogue(self) -> Checkpoints:
        if self._store is None:
            raise UserError(
                "checkpoint: the plugin is not initialized",
                advice="use it in a with statement, or call initialize first and finalize last",
            )
        run_id = self.settings.run_id or (self._context.run_id if self._context else "run")
        return Checkpoints(self._store, run_id, self.settings.encoding)

    def _save(self, step: int, state: StateSource) -> None:
        """Write a checkpoint, or begin to; what the caller waits for is its stall."""
        begin, start = time.perf_counter(), local_now()
        if self._background.is_busy:
            self._collect()
        begun = _Begun(step, self._epoch, start, self._payload(step, state))
        if not self.settings.is_async:
            ended = self._written(begun)
            self._note(begun, ended, time.perf_counter() - begin)
            return
        self._background.start(lambda: self._written(begun))
        self._in_flight = begun, time.perf_counter() - begin

    def _collect(self) -> None:
        """Wait for the checkpoint in the background, and note what became of it."""
        try:
            ended = self._background.result()
        except _GivenUp:
            self._in_flight = None
            return
        except Exception:
            self._in_flight = None
            raise
        if self._in_flight is not None:
            begun, stall_s = self._in_flight
            self._in_flight = None
            self._note(begun, ended, stall_s)

    def _payload(self, step: int, state: StateSource) -> Payload:
        if state is None:
            return self._own_payload(step)
        payload = StatePayload(state() if callable(state) else state)
        return payload.snapshot() if self.settings.is_async else payload

    def _own_payload(self, step: int) -> Payload:
        if self._context is None:
            raise UserError(
                "checkpoint: there is no state to save",
                where=f"step {step}",
                advice="hand in the state: after_step(step, state)",
            )
        return payload_of(self._context.workload, step, self._context.ranks.rank)

    def _written(self, begun: _Begun) -> _Ended:
        """Write a checkpoint; a fault of the storage is part of what is returned."""
        begin, catalogue = time.perf_counter(), self._catalogue()
        try:
            manifest = catalogue.save(
                begun.step,
                _Interruptible(begun.payload, self._interrupted),
                epoch=begun.epoch,
                provenance=self._provenance(),
            )
        except StorageFault as fault:
            fault = _without_frames(fault) if self.settings.on_error == "warn" else fault
            return _Ended(local_now(), time.perf_counter() - begin, fault=fault)
        file = manifest.file
        ended = _Ended(
            local_now(), time.perf_counter() - begin, file.size_bytes, file.stored_bytes, file.key
        )
        try:
            if self.settings.keep_last is not None:
                catalogue.keep_last(self.settings.keep_last, begun.step)
        except StorageFault as fault:
            return replace(ended, fault=fault)
        return ended

    def _note(self, begun: _Begun, ended: _Ended, stall_s: float) -> None:
        """Keep the record of a checkpoint; stop the run, or warn, where it failed."""
        record = CheckpointRecord(
            step=begun.step,
            epoch=begun.epoch,
            start=begun.start,
            end=ended.end,
            stall_s=stall_s,
            write_s=ended.write_s,
            size_bytes=ended.size_bytes,
            stored_bytes=ended.stored_bytes,
            key=ended.key,
            error=str(ended.fault) if ended.fault else "",
        )
        self.checkpoints.append(record)
        if ended.fault is None:
            return
        failed = "failed" if not ended.key else "is complete, but no older one could be removed"
        what = f"the checkpoint of step {begun.step} {failed}: {ended.fault.what}"
        if self.settings.on_error == "stop":
            ended.fault.what = what
            ended.fault.advice = ended.fault.advice or _ADVICE
            raise ended.fault
        if self._context is None:  # the loader tells it by the record
            warnings.warn(what, RuntimeWarning, stacklevel=2)

    def _provenance(self) -> dict[str, Any]:
        if self._context is None:
            return {}
        workload, ranks = self._context.workload, self._context.ranks
        return {
            "workload": workload.name,
            "scale": workload.scale,
            "workload_digest": workload.digest(),
            "rank": ranks.rank,
            "ranks": ranks.size,
        }


class _Interruptible:
    """A payload that ends the write when the run is interrupted: nothing of it becomes visible."""

    def __init__(self, payload: Payload, interrupted: threading.Event) -> None:
        self.tensors: Sequence[Tensor] = payload.tensors
        self.structure = getattr(payload, "structure", None)
        self._payload = payload
        self._interrupted = interrupted

    def fill(self, number: int, start: int, buffer: memoryview) -> None:
        if self._interrupted.is_set():
            raise _GivenUp
        self._payload.fill(number, start, buffer)


def _without_frames(fault: StorageFault) -> StorageFault:
    """Return a fault that the run survives, without the frames that still hold the state."""
    error: BaseException | None = fault
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
    return fault


def _newest_state(checkpoints: Checkpoints) -> tuple[Found, Any]:
    """Return the newest checkpoint that is intact, with its state; most are read once only."""
    found = checkpoints.newest()
    if found.manifest is None:
        return found, None
    try:
        return found, checkpoints.state(found.manifest)
    except DamagedCheckpoint:
        found = checkpoints.newest_intact()
        return found, None if found.manifest is None else checkpoints.state(found.manifest)


def _converted(value: Any, convert: Callable[[Any], Any]) -> Any:
    """Return a state with its arrays converted."""
    if isinstance(value, dict):
        return {key: _converted(each, convert) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_converted(each, convert) for each in value)
    return convert(value) if hasattr(value, "dtype") else value

"""What the checkpoints of a training are like: when, how, and where."""

from __future__ import annotations

import typing
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from cm4storage.checkpoint.cadence import Cadence
from cm4storage.checkpoint.encoding import LEVELS, Encoding
from cm4storage.core.errors import UserError
from cm4storage.storage.keys import check_key
from cm4storage.workload.coercion import coerce

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cm4storage.workload.model_sections import CheckpointSection

_RENAMED: Final = {"async": "is_async"}  # a keyword of Python
_STEPS: Final = "steps_between_checkpoints"
_EPOCHS: Final = "epochs_between_checkpoints"
_FIRST_EPOCH: Final = "checkpoint_after_epoch"
_DEFAULT_LEVEL: Final = 1


@dataclass(frozen=True)
class CheckpointSettings:
    """The options of `CheckpointPlugin`.

    Attributes
    ----------
    steps_between_checkpoints : int
        0 and more: checkpoints follow steps, the first at the interval, and no epochs count; 0:
        there are none. -1: they follow epochs.
    epochs_between_checkpoints : int
        From one to the next.
    checkpoint_after_epoch : int or None
        The first one; None: at the interval.
    compression : {'none', 'zstd'}
    compression_level : int
        1 to 22.
    is_async : bool
        Write in the background, while the training goes on; the option's name is ``async``.
    fsync : bool
        Make file and folder durable before a checkpoint counts as written.
    keep_last : int or None
        Remove all but so many of this run's.
    on_error : {'stop', 'warn'}
        What a failed checkpoint does to the run.
    container : {'safetensors', 'torch'}
        The format of the file; ``torch`` is what ``torch.load`` reads.
    checkpoint_dir : str
        Where; empty: what the workload's ``checkpoint_folder`` says, below the data's location.
    run_id : str
        The first part of the names; empty: that of the run.
    """

    steps_between_checkpoints: int = -1
    epochs_between_checkpoints: int = 1
    checkpoint_after_epoch: int | None = None
    compression: Literal["none", "zstd"] = "none"
    compression_level: int = _DEFAULT_LEVEL
    is_async: bool = False
    fsync: bool = False
    keep_last: int | None = None
    on_error: Literal["stop", "warn"] = "stop"
    container: Literal["safetensors", "torch"] = "safetensors"
    checkpoint_dir: str = ""
    run_id: str = ""

    @classmethod
    def of_section(cls, section: CheckpointSection) -> CheckpointSettings:
        """Return what DLIO's section says."""
        return cls(
            steps_between_checkpoints=section.steps_between_checkpoints,
            epochs_between_checkpoints=section.epochs_between_checkpoints,
            checkpoint_after_epoch=section.checkpoint_after_epoch,
            fsync=section.fsync,
        )

    def with_options(self, options: Mapping[str, object]) -> CheckpointSettings:
        """Return these settings with others in the place of some; a new interval is the only one.

        Raises
        ------
        UserError
            If there is no such option, or its value cannot be.
        """
        hints = typing.get_type_hints(CheckpointSettings)
        changes: dict[str, Any] = {}
        for option, value in options.items():
            name = _RENAMED.get(option, option)
            if name not in hints:
                known = [each.name for each in fields(self)]
                raise UserError(
                    f"checkpoint: there is no option {option}",
                    advice=f"options are {', '.join(_shown(name) for name in known)}",
                )
            try:
                changes[name] = coerce(hints[name], value)
            except ValueError as error:
                raise UserError(f"checkpoint: {option}: {error}, got {value!r}") from error
        if _EPOCHS in changes:
            changes = {_STEPS: -1, _FIRST_EPOCH: None} | changes
        changed = replace(self, **changes)
        changed.check()
        return changed

    def check(self) -> None:
        """Refuse what cannot be.

        Raises
        ------
        UserError
        """
        for name, least in ((_STEPS, -1), (_EPOCHS, 0), (_FIRST_EPOCH, 1), ("keep_last", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UserError(f"checkpoint: {name} must be at least {least}, not {value}")
        if self.compression_level not in LEVELS:
            raise UserError(
                f"checkpoint: compression_level must be 1 to {LEVELS[-1]}, "
                f"not {self.compression_level}"
            )
        if self.run_id:
            check_key(self.run_id, "the checkpoint's run_id")
        _ = self.encoding  # refuses what a container cannot have

    @property
    def encoding(self) -> Encoding:
        """How files are written."""
        level = self.compression_level if self.compression == "zstd" else None
        return Encoding(self.container, level)

    @property
    def step_cadence(self) -> Cadence:
        """After which steps there is one."""
        interval = max(0, self.steps_between_checkpoints)
        return Cadence(interval, interval)

    @property
    def epoch_cadence(self) -> Cadence:
        """After which epochs there is one: after none where steps are said."""
        if self.steps_between_checkpoints >= 0:
            return Cadence(0, 0)
        every = self.epochs_between_checkpoints
        return Cadence(self.checkpoint_after_epoch or every, every)

    def differing(self, other: CheckpointSettings) -> list[str]:
        """Return the options whose values differ from those of `other`."""
        names = [each.name for each in fields(self)]
        return [_shown(name) for name in names if getattr(self, name) != getattr(other, name)]

    def to_plain(self) -> dict[str, Any]:
        """Return the options that are not at their defaults, as JSON has them."""
        told = self.differing(CheckpointSettings())
        return {option: getattr(self, _RENAMED.get(option, option)) for option in told}


def _shown(name: str) -> str:
    return {field: option for option, field in _RENAMED.items()}.get(name, name)

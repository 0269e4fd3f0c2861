"""What one top-level run owns: its temporary folder, its lifeline, what it remembers."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import StorageFault
from cm4storage.scripting.environment import HostShade
from cm4storage.scripting.guards import Guards
from cm4storage.scripting.hook_output import without_secrets_on_streams
from cm4storage.scripting.keys import Fingerprints, Identity
from cm4storage.scripting.stopwatch import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cm4storage.core.lifeline import Lifeline
    from cm4storage.scripting.console import Console
    from cm4storage.scripting.logs import Log
    from cm4storage.scripting.request import Options
    from cm4storage.scripting.signals import SignalGuard


_PREFIX = "cm-run-"
_LOCK_NAME = ".lock"
_SWEPT_AGE_S = 60.0


@dataclass(frozen=True)
class Outcome:
    """What a recipe hands to the recipe that asked for it."""

    new_env: Mapping[str, Any]
    new_state: Mapping[str, Any]
    identity: Identity


@dataclass(frozen=True)
class Step:
    """A recipe that took part in a run, for ``--print_deps`` and the JSON result."""

    depth: int
    recipe: str
    uid: str
    tags: str
    decision: str
    command: str


@dataclass
class Session:
    """One top-level run."""

    console: Console
    options: Options
    caller_folder: Path
    guard: SignalGuard
    folder: Path
    fingerprints: Fingerprints
    guards: Guards
    log_folder: Path
    shade: HostShade = field(default_factory=HostShade)
    memo: dict[str, Outcome] = field(default_factory=dict)
    building: set[str] = field(default_factory=set)
    steps: list[Step] = field(default_factory=list)
    stopwatch: Stopwatch = field(default_factory=Stopwatch)
    failed_log: Log | None = None
    logs_made: int = 0
    _lifeline: Lifeline | None = None
    _folders: int = 0

    @property
    def lifeline(self) -> Lifeline:
        """The lifeline that all processes of the run hold; made for the first of them."""
        if self._lifeline is None:
            from cm4storage.core.lifeline import Lifeline  # sockets are imported only now

            self._lifeline = Lifeline()
        return self._lifeline

    def new_folder(self, name: str) -> Path:
        """Return a new private folder for one recipe."""
        self._folders += 1
        folder = self.folder / f"{self._folders:03d}-{name}"
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise StorageFault(
                f"cannot make a temporary folder: {error.strerror}",
                where=str(folder),
                advice="free space there, or set TMPDIR to another folder",
            ) from error
        return folder

    def release(self) -> None:
        """End the helpers of the run; name those that do not end."""
        if self._lifeline is None:
            return
        from cm4storage.core.lifeline import RELEASE_TIMEOUT_S
        from cm4storage.scripting.processes import holders_of, identity_of_descriptor

        end = identity_of_descriptor(self._lifeline.child_descriptor)
        if not self._lifeline.release():
            numbers = ", ".join(map(str, holders_of(end))) or "number unknown"
            self.console.warning(
                "what this run started in the background is still there after "
                f"{RELEASE_TIMEOUT_S:.0f} s: process {numbers}"
            )


@contextlib.contextmanager
def open_session(
    console: Console,
    options: Options,
    caller_folder: Path,
    guard: SignalGuard,
    local_folder: Path,
) -> Iterator[Session]:
    """Begin a run; end it whatever happens: helpers stopped, temporary folders removed."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX)).resolve()
    except OSError as error:
        raise StorageFault(
            f"cannot make a temporary folder: {error}", advice="set TMPDIR to a writable folder"
        ) from error
    guards = Guards(local_folder / ".guards", folder / "refusals", options.allows_sudo)
    logs = local_folder / "logs"
    session = Session(
        console, options, caller_folder, guard, folder, Fingerprints(folder), guards, logs
    )
    with _kept(folder), guards, without_secrets_on_streams(console.secrets, console.stream):
        _sweep(folder.parent)
        try:
            yield session
        finally:
            try:
                session.release()
            finally:
                session.shade.restore()
                shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _kept(folder: Path) -> Iterator[None]:
    """Hold the lock that tells `_sweep` of other runs that the folder is in use."""
    with (folder / _LOCK_NAME).open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _sweep(parent: Path) -> None:
    """Remove the folders of runs that were killed: old ones whose lock nobody holds."""
    newest_s = time.time() - _SWEPT_AGE_S
    for folder in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            status = folder.lstat()
            if status.st_uid == os.getuid() and status.st_mtime < newest_s:
                with (folder / _LOCK_NAME).open(encoding="utf-8") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder, ignore_errors=True)

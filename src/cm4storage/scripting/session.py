"""What one top-level run owns: its temporary folder, its lifeline, what it remembers."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import StorageFault
from cm4storage.core.records import dataclass, field
from cm4storage.scripting.environment import HostShade
from cm4storage.scripting.metadata_files import as_path
from cm4storage.scripting.stopwatch import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from cm4storage.core.lifeline import Lifeline
    from cm4storage.scripting.console import Console
    from cm4storage.scripting.guards import Guards
    from cm4storage.scripting.keys import Identity
    from cm4storage.scripting.logs import Log
    from cm4storage.scripting.metadata import Recipe
    from cm4storage.scripting.prepare import Prepared
    from cm4storage.scripting.request import Options
    from cm4storage.scripting.signals import SignalGuard


@dataclass(frozen=True)
class Outcome:
    """What a recipe hands to the recipe that asked for it.

    Its identity is None where nothing that depends on it has a key.
    """

    recipe: str
    new_env: Mapping[str, Any]
    new_state: Mapping[str, Any]
    identity: Identity | None = None


@dataclass(frozen=True)
class Step:
    """A recipe that took part in a run, for ``--print_deps`` and the JSON result."""

    prepared: Prepared
    decision: str
    shown: Callable[[str], str]
    """Takes the known secrets out of a text."""

    @property
    def depth(self) -> int:
        """How many recipes stand above it."""
        return len(self.prepared.call.chain)

    @property
    def command(self) -> str:
        """The command that runs it alone."""
        from cm4storage.scripting.rerun import rerun_command

        return rerun_command(self.prepared, self.shown)

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        from cm4storage.scripting.rerun import recipe_tags

        return {
            "depth": self.depth,
            "recipe": self.prepared.recipe.alias,
            "uid": self.prepared.recipe.uid,
            "tags": recipe_tags(self.prepared),
            "decision": self.decision,
            "command": self.command,
        }


@dataclass
class Session:
    """One top-level run.

    Parameters
    ----------
    volatile : set of str
        Patterns of the variables that no key covers.
    made_folder : Path, optional
        The run's private folder; None as long as nothing needed it.
    """

    console: Console
    options: Options
    caller_folder: str
    guard: SignalGuard
    local_folder: str
    shade: HostShade = field(default_factory=HostShade)
    volatile: set[str] = field(default_factory=set)
    steps: list[Step] = field(default_factory=list)
    closing: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    made_folder: Path | None = None
    cm: Any = None
    stopwatch: Stopwatch = field(default_factory=Stopwatch)
    failed_log: Log | None = None
    logs_made: int = 0
    _guards: Guards | None = None
    _lifeline: Lifeline | None = None
    _folders: int = 0

    @property
    def lifeline(self) -> Lifeline:
        """The lifeline that all processes of the run hold; made for the first of them."""
        if self._lifeline is None:
            from cm4storage.core.lifeline import Lifeline  # sockets are imported only now

            self._lifeline = Lifeline()
        return self._lifeline

    @property
    def log_folder(self) -> Path:
        """Where logs are."""
        return as_path(self.local_folder) / "logs"

    @property
    def guards(self) -> Guards:
        """What stands before sudo and its like, from the first recipe with code to the end."""
        if self._guards is None:
            from cm4storage.scripting.guards import Guards
            from cm4storage.scripting.hook_output import without_secrets_on_streams

            parent, record = as_path(self.local_folder) / ".guards", self._own_folder() / "refusals"
            guards = Guards(parent, record, self.options.allows_sudo)
            self._guards = self.closing.enter_context(guards)
            streams = without_secrets_on_streams(self.console.secrets, self.console.stream)
            self.closing.enter_context(streams)
        return self._guards

    def _own_folder(self) -> Path:
        if self.made_folder is None:
            from cm4storage.scripting.private_folder import private_folder  # many runs need none

            self.made_folder = self.closing.enter_context(private_folder())
        return self.made_folder

    def new_folder(self, name: str) -> Path:
        """Return a new private folder for one recipe."""
        self._folders += 1
        folder = self._own_folder() / f"{self._folders:03d}-{name}"
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise StorageFault(
                f"cannot make a temporary folder: {error.strerror}",
                where=str(folder),
                advice="free space there, or set TMPDIR to another folder",
            ) from error
        return folder

    def hide_host_variables(self, recipe: Recipe) -> None:
        """Take the host's variables that a recipe knows as its own out of this process, and say so.

        A recipe would see them without its key knowing.
        """
        for name in self.shade.hide(recipe.own_names):
            self.console.line(
                f"note: {name} of your environment does not count for {recipe.alias}; "
                f"--env.{name}=VALUE does",
                style="dim",
            )

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
    caller_folder: str,
    guard: SignalGuard,
    local_folder: str,
) -> Iterator[Session]:
    """Begin a run; end it whatever happens: helpers stopped, temporary folders removed."""
    session = Session(console, options, caller_folder, guard, local_folder)
    with session.closing:
        try:
            yield session
        finally:
            try:
                session.release()
            finally:
                session.shade.restore()

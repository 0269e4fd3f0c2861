"""Recipes change the system only where the user has allowed it: ``--allow_sudo``.

While a recipe runs, ``sudo``, ``apt-get`` and their like are stand-ins (`guard_command`) at the
front of its PATH. What they refused is an error of the recipe, whatever it made of the refusal.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cm4storage.core.canonical import sha256
from cm4storage.core.errors import StorageBenchmarkError, UserError
from cm4storage.core.records import dataclass
from cm4storage.scripting.rerun import rerun_command

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cm4storage.scripting.prepare import Prepared
    from cm4storage.scripting.session import Session

# Of guard_command, which is imported only where something was refused.
_REFUSALS_VARIABLE: Final = "CM4STORAGE_REFUSALS_FILE"
_COMMAND_FILE: Final = Path(__file__).with_name("guard_command.py")
_ONLY_SUDO: Final = ("sudo",)
_STAND_IN: Final = """\
#!/bin/sh
exec {python} -I -S {command} {kind} {folder} {name} "$@"
"""


@dataclass
class Guards:
    """The stand-ins of one run.

    Parameters
    ----------
    parent : Path
        Where the folders of the stand-ins are, for all runs of this CM installation.
    record : Path
        The file in which they note what they refused; gone with the run.
    allows : bool
        Whether the user has allowed everything; then only ``sudo`` has a stand-in.
    """

    parent: Path
    record: Path
    allows: bool
    _path_before: str | None = None
    _seen: int = 0
    _folder: Path | None = None

    def __enter__(self) -> Guards:
        """Put the stand-ins in front of PATH, also for what customize.py starts."""
        self._path_before = os.environ.get("PATH")
        os.environ.update(self.applied(dict(os.environ)))
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Take them away again."""
        os.environ.pop(_REFUSALS_VARIABLE, None)
        if self._path_before is None:
            os.environ.pop("PATH", None)
        else:
            os.environ["PATH"] = self._path_before

    @property
    def folder(self) -> Path:
        """The folder of the stand-ins."""
        if self._folder is None:
            kind = "allowed" if self.allows else "refused"
            try:
                self._folder = _installed(self.parent, kind)
            except OSError:  # a repository that cannot be written
                self._folder = _installed(self.record.parent, kind)
        return self._folder

    def applied(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return a process environment with the stand-ins in front, once."""
        path = self.removed(environment.get("PATH", os.defpath))
        return {
            **environment,
            "PATH": f"{self.folder}{os.pathsep}{path}",
            _REFUSALS_VARIABLE: str(self.record),
        }

    def removed(self, value: Any) -> Any:
        """Return a value without the stand-ins' folder, as what recipes put out must be.

        The path of a stand-in becomes that of the real command, if there is one.
        """
        if not self.are_in(value):
            return value
        kept = (x for x in value.split(os.pathsep) if x != str(self.folder))
        return os.pathsep.join(map(self._real, kept))

    def are_in(self, value: Any) -> bool:
        """Tell whether a value names the stand-ins' folder."""
        return isinstance(value, str) and str(self.folder) in value

    def _real(self, path: str) -> str:
        folder, _, name = path.rpartition("/")
        if folder != str(self.folder):
            return path
        import shutil

        return shutil.which(name, path=self._path_before) or path

    def refused(self) -> list[tuple[list[str], list[str]]]:
        """Return what was refused since the last call: packages and words of each command.

        Nothing, if only a refresh of the lists of packages was left out.
        """
        try:
            lines = self.record.read_text(encoding="utf-8").splitlines()
        except OSError:
            return []
        new, self._seen = lines[self._seen :], len(lines)
        calls = [json.loads(line) for line in new]
        if all(kind == "refresh" for kind, _, _ in calls):
            return []
        return [(packages, words) for _, packages, words in calls]


@contextlib.contextmanager
def guarded(session: Session, prepared: Prepared) -> Iterator[None]:
    """Turn what a recipe was refused into an error that says what to do.

    Raises
    ------
    UserError
        If the recipe wanted to change the system, even if it went on without.
    """
    guards = session.guards  # in force from here on
    try:
        yield
    except StorageBenchmarkError as error:
        calls = guards.refused()
        if calls:
            raise _error(session, prepared, calls, error.where) from error
        raise
    finally:
        _clean(session, prepared)
    calls = guards.refused()
    if calls:
        raise _error(session, prepared, calls, " > ".join(prepared.chain))


def _clean(session: Session, prepared: Prepared) -> None:
    """Let no output lead to the stand-ins, which are not there when it is used."""
    for name, value in list(prepared.env.items()):
        cleaned = prepared.env[name] = session.guards.removed(value)
        if session.guards.are_in(cleaned):
            del prepared.env[name]
            session.console.warning(
                f"{prepared.recipe.alias}: {name} is left out: it names a command that is not here"
            )


def _error(
    session: Session, prepared: Prepared, calls: list[tuple[list[str], list[str]]], where: str
) -> UserError:
    packages = list(dict.fromkeys(name for names, _ in calls for name in names))
    wanted = f"needs system packages: {', '.join(packages)}" if packages else "needs sudo"
    shown = session.console.shown
    commands = dict.fromkeys(_for_a_person([*map(shown, words)]) for _, words in calls)
    listed = "\n".join(commands)
    return UserError(
        f"{prepared.recipe.alias}: {wanted}",
        where=where,
        meaning="recipes change the system only where that is allowed",
        advice=f"run this yourself:\n{listed}\nor let the recipe do it:\n"
        f"{rerun_command(prepared, shown)} --allow_sudo",
    )


def _for_a_person(words: list[str]) -> str:
    is_elevated = words[0] in ("sudo", "doas", "pkexec") or words[0] == "brew" or os.geteuid() == 0
    return shlex.join(words if is_elevated else ["sudo", *words])


def _installed(parent: Path, kind: str) -> Path:
    """Return the folder of the stand-ins of a kind; it is made once and shared by all runs."""
    about = os.fsencode(
        "\0".join((kind, sys.executable, str(_COMMAND_FILE), _STAND_IN, *_ONLY_SUDO))
    )
    about += _COMMAND_FILE.read_bytes()  # which also says which commands have a stand-in
    folder = parent / f"{kind}-{sha256(about).hexdigest()[:12]}"
    if folder.is_dir():
        return folder
    import tempfile

    from cm4storage.scripting.guard_command import NAMES

    parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=".new-", dir=parent))
    made.chmod(0o755)
    python, command = shlex.quote(sys.executable), shlex.quote(str(_COMMAND_FILE))
    place = shlex.quote(str(folder))
    for name in NAMES if kind == "refused" else _ONLY_SUDO:
        script = made / name
        text = _STAND_IN.format(python=python, command=command, kind=kind, folder=place, name=name)
        script.write_bytes(os.fsencode(text))
        script.chmod(0o755)
    try:
        made.rename(folder)
    except OSError:  # another run was first
        import shutil

        shutil.rmtree(made, ignore_errors=True)
    return folder

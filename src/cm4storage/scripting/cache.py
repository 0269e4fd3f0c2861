"""The cache of recipes' results: one folder per key under the local CM repository.

An entry's folder is ``<first 16 hex digits of the key>``, which is also its CM uid, so that a hit
is one path look-up. Contents may hold absolute paths, so an entry is built in place, and exists
from the moment its state file is renamed into it. A folder without that file is debris of a run
that failed or was killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import StorageFault
from cm4storage.core.files import locked, write_json_atomically
from cm4storage.core.records import dataclass
from cm4storage.scripting.automations import CACHE_AUTOMATION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

STATE_FILE = "cm-cached-state.json"
_DESCRIPTION_FILE = "_cm.json"
_DATA_MARK = ".cm4storage-keeps-data"
_STATE_FORMAT = 1
_UID_LENGTH = 16
_LEFTOVER_NAME = r"(\.?)([0-9a-f]{16})(\.kept)?"


@dataclass(frozen=True)
class Entry:
    """A complete entry, as its state file tells."""

    uid: str
    folder: Path
    key: str
    recipe_alias: str
    recipe_uid: str
    tags: tuple[str, ...]
    parts: Mapping[str, Any]
    new_env: Mapping[str, Any]
    new_state: Mapping[str, Any]
    created: str
    made_in: str
    outputs_inside: tuple[str, ...] = ()

    @property
    def keeps_data(self) -> bool:
        """Whether the entry holds a user's data: its key then covers no code."""
        return "code" not in self.parts.get("key", {"code": {}})


@dataclass(frozen=True)
class Leftover:
    """What is left of an entry whose making was broken off, or which cannot be understood."""

    uid: str
    folder: Path
    state: str

    @property
    def keeps_data(self) -> bool:
        """Whether the folder was lent to a recipe that keeps a user's data in it."""
        return (self.folder / _DATA_MARK).exists()


class DamagedEntryError(Exception):
    """An entry is there but cannot be used; the text says why."""


class CacheStore:
    """The entries under one folder."""

    def __init__(self, folder: Path) -> None:
        # One spelling, however the user wrote it: entries hold paths into themselves.
        self.folder = folder.resolve()

    @property
    def locks(self) -> Path:
        """The folder of the lock files."""
        return self.folder / ".locks"

    def entry_folder(self, key: str) -> Path:
        """Return where the entry of `key` is, or would be."""
        return self.folder / self.uid_of(key)

    def uid_of(self, key: str) -> str:
        """Return the uid of the entry of `key`."""
        return key[:_UID_LENGTH]

    def has(self, key: str) -> bool:
        """Tell whether there is a folder for the entry of `key`, whatever is in it."""
        return self.entry_folder(key).is_dir()

    @contextlib.contextmanager
    def faults_explained(self) -> Iterator[None]:
        """Turn what the file system refuses into a fault that names the cache."""
        try:
            yield
        except OSError as error:
            raise self._refused(error) from error

    @contextlib.contextmanager
    def lock(self, key: str, on_wait: Callable[[], None]) -> Iterator[None]:
        """Hold the lock on the entry of `key`.

        Raises
        ------
        StorageFault
            If the file system does not let us.
        """
        with contextlib.ExitStack() as stack:
            with self.faults_explained():
                stack.enter_context(locked(self.locks / f"{self.uid_of(key)}.lock", on_wait))
            yield

    def find(self, key: str) -> Entry | None:
        """Return the entry of `key`, or None where there is none.

        Raises
        ------
        DamagedEntryError
            If the state file does not parse or belongs to another key, or an output is missing.
        """
        entry = read_entry(self.entry_folder(key))
        if entry is None:
            return None
        if entry.key != key:
            raise DamagedEntryError("its stored key differs")
        if entry.made_in != str(entry.folder):
            raise DamagedEntryError(f"it was made in {entry.made_in} and moved")
        for name in entry.outputs_inside:
            if not os.path.lexists(entry.folder / name):
                raise DamagedEntryError(f"{name} is missing in {entry.folder}")
        if not (entry.folder / _DESCRIPTION_FILE).exists():
            self._describe(entry)  # its maker was killed between the two files
        return entry

    def entries(self) -> Iterator[Entry]:
        """Yield all complete entries."""
        if not self.folder.is_dir():
            return
        # A hidden folder is a good entry that a run has set aside while it makes a new one.
        for folder in sorted(f for f in self.folder.iterdir() if not f.name.startswith(".")):
            with contextlib.suppress(DamagedEntryError):
                entry = read_entry(folder)
                if entry is not None:
                    yield entry

    def entries_of(self, recipe_uid: str) -> list[Entry]:
        """Return the complete entries of one recipe."""
        return [entry for entry in self.entries() if entry.recipe_uid == recipe_uid]

    def leftovers(self) -> Iterator[Leftover]:
        """Yield what this engine left that is no entry; folders of others are none of it."""
        if not self.folder.is_dir():
            return
        for folder in sorted(self.folder.iterdir()):
            match = re.fullmatch(_LEFTOVER_NAME, folder.name)
            if match is None or not (self.locks / f"{match[2]}.lock").exists():
                continue
            state = "incomplete" if match[1] or match[3] else _leftover_state(folder)
            if state:
                yield Leftover(match[2], folder, state)

    @contextlib.contextmanager
    def building(self, key: str, *, keeps_contents: bool) -> Iterator[Path]:
        """Lend the folder to build the entry of `key` in. Call it under the lock.

        If the build fails, what it made is removed, and a good entry that was there is there
        again. With `keeps_contents` nothing in the folder is ever removed: see `reopen`.
        """
        if keeps_contents:
            yield self.reopen(key)
            return
        aside = self._set_aside(key)
        folder = self.begin(key)
        try:
            yield folder
        except BaseException:
            self.discard(folder)
            self.recover(key)
            raise
        if aside is not None:
            self.discard(aside)

    def recover(self, key: str) -> None:
        """Undo what a killed run has left half done: the good entry that it set aside returns.

        Call it under the lock.
        """
        folder, aside = self.entry_folder(key), self._aside(key)
        if not aside.exists():
            return
        if (folder / STATE_FILE).exists():
            self.discard(aside)
            return
        self.discard(folder)
        with self.faults_explained():
            aside.rename(folder)

    def remove(self, uid: str) -> None:
        """Remove an entry and whatever else is left under its uid. Call it under the lock."""
        self.discard(self.entry_folder(uid))
        self.discard(self._aside(uid))

    def _aside(self, key: str) -> Path:
        return self.folder / f".{self.uid_of(key)}.kept"

    def _set_aside(self, key: str) -> Path | None:
        """Rename a good entry; None if there is none."""
        with contextlib.suppress(DamagedEntryError):
            entry = self.find(key)
            if entry is not None:
                aside = self._aside(key)
                self.discard(aside)
                with self.faults_explained():
                    return entry.folder.rename(aside)
        return None

    def begin(self, key: str) -> Path:
        """Return the empty folder in which the entry of `key` is to be built, closed to others.

        Call it under the lock: whatever is there is removed, its state file first.
        """
        folder = self.entry_folder(key)
        self.discard(folder)
        with self.faults_explained():
            folder.mkdir(parents=True)
            folder.chmod(folder.stat().st_mode & 0o2700)  # a killed run may leave secrets in it
        return folder

    def reopen(self, key: str) -> Path:
        """Return the folder of the entry of `key` with what is in it, but without its state file.

        Call it under the lock. For entries that hold a user's data, which nothing but a request
        to remove them may remove.
        """
        folder = self.entry_folder(key)
        with self.faults_explained():
            folder.mkdir(parents=True, exist_ok=True)
            (folder / _DATA_MARK).touch()  # tells what this is if we are killed on the way
            (folder / STATE_FILE).unlink(missing_ok=True)
        return folder

    def commit(self, entry: Entry) -> None:
        """Make an entry visible, as open as the cache; CM's own description follows."""
        with self.faults_explained():
            if not entry.keeps_data and not entry.folder.stat().st_mode & 0o077:
                entry.folder.chmod(self.folder.stat().st_mode & 0o2777)
        write_json_atomically(entry.folder / STATE_FILE, _to_json(entry))
        self._describe(entry)

    def _describe(self, entry: Entry) -> None:
        write_json_atomically(entry.folder / _DESCRIPTION_FILE, _description(entry))

    def discard(self, folder: Path) -> None:
        """Remove an entry or its debris. From the first moment on it cannot be hit any more."""
        try:
            (folder / STATE_FILE).unlink(missing_ok=True)
            if folder.exists():
                import shutil  # brings the compressors along

                shutil.rmtree(folder)
        except NotADirectoryError:
            folder.unlink()
        except OSError as error:
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> StorageFault:
        return StorageFault(
            f"the CM cache cannot be written: {error.strerror}",
            where=str(error.filename or self.folder),
            advice="free space or change permissions there, or set CM_REPOS to another folder",
        )


def new_entry(
    folder: Path,
    *,
    key: str,
    recipe: tuple[str, str],
    tags: Sequence[str],
    parts: Mapping[str, Any],
    outputs: tuple[Mapping[str, Any], Mapping[str, Any]],
) -> Entry:
    """Return an entry made now; `recipe` is alias and uid, `outputs` are new env and state."""
    import datetime

    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    return Entry(
        uid=key[:_UID_LENGTH],
        folder=folder,
        key=key,
        recipe_alias=recipe[0],
        recipe_uid=recipe[1],
        tags=tuple(tags),
        parts=parts,
        new_env=outputs[0],
        new_state=outputs[1],
        created=now,
        made_in=str(folder),
        outputs_inside=tuple(sorted(_paths_inside(folder, outputs))),
    )


def read_entry(folder: Path) -> Entry | None:
    """Return the entry in `folder`; None if it has no state file.

    Raises
    ------
    DamagedEntryError
        If the state file cannot be understood.
    """
    try:
        stored = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
        if stored["format"] != _STATE_FORMAT:
            raise DamagedEntryError(f"its format is {stored['format']}, not {_STATE_FORMAT}")
        return _from_json(folder, stored)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DamagedEntryError(f"its state file cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedEntryError(f"its state file does not parse: {error}") from error


def _to_json(entry: Entry) -> dict[str, Any]:
    return {
        "format": _STATE_FORMAT,
        "key": entry.key,
        "recipe": {"alias": entry.recipe_alias, "uid": entry.recipe_uid},
        "tags": list(entry.tags),
        "created": entry.created,
        "made_in": entry.made_in,
        "outputs_inside": list(entry.outputs_inside),
        "parts": dict(entry.parts),
        "new_env": dict(entry.new_env),
        "new_state": dict(entry.new_state),
    }


def _from_json(folder: Path, stored: Mapping[str, Any]) -> Entry:
    return Entry(
        uid=folder.name,
        folder=folder,
        key=str(stored["key"]),
        recipe_alias=str(stored["recipe"]["alias"]),
        recipe_uid=str(stored["recipe"]["uid"]),
        tags=tuple(stored["tags"]),
        parts=dict(stored["parts"]),
        new_env=dict(stored["new_env"]),
        new_state=dict(stored["new_state"]),
        created=str(stored["created"]),
        made_in=str(stored["made_in"]),
        outputs_inside=tuple(map(str, stored.get("outputs_inside", ()))),
    )


def texts_in(value: Any) -> Iterator[str]:
    """Yield every text in a value made of mappings and lists."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from texts_in([*value, *value.values()])
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from texts_in(item)


def _paths_inside(folder: Path, outputs: tuple[Mapping[str, Any], ...]) -> set[str]:
    """Return the outputs that are paths of what is in `folder`, relative to it."""
    start = f"{folder}/"
    found = (text.removeprefix(start) for text in texts_in(outputs) if text.startswith(start))
    return {name for name in found if "\0" not in name and os.path.lexists(folder / name)}


def _leftover_state(folder: Path) -> str:
    """Return what is wrong with an entry's folder; "" if nothing is."""
    try:
        return "" if read_entry(folder) is not None else "incomplete"
    except DamagedEntryError as damage:
        return f"damaged: {damage}"


def _description(entry: Entry) -> dict[str, Any]:
    return {
        "alias": "",
        "automation_alias": CACHE_AUTOMATION[0],
        "automation_uid": CACHE_AUTOMATION[1],
        "uid": entry.uid,
        "tags": list(entry.tags),
        "associated_script_artifact": f"{entry.recipe_alias},{entry.recipe_uid}",
        "associated_script_artifact_uid": entry.recipe_uid,
    }

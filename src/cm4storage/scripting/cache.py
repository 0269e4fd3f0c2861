"""The cache of recipes' results: one folder per key under the local CM repository.

An entry's folder is ``<first 16 hex digits of the key>``, which is also its CM uid, so that a hit
is one path look-up. Contents may hold absolute paths, so an entry is built in place, and exists
from the moment its state file is renamed into it. A folder without that file is debris of a run
that failed or was killed.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import StorageFault
from cm4storage.core.files import locked, write_json_atomically

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

STATE_FILE = "cm-cached-state.json"
_DESCRIPTION_FILE = "_cm.json"
CACHE_AUTOMATION = ("cache", "541d6f712a6b464e")
_STATE_FORMAT = 1
_UID_LENGTH = 16


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


class DamagedEntryError(Exception):
    """An entry is there but cannot be used; the text says why."""


class CacheStore:
    """The entries under one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def entry_folder(self, key: str) -> Path:
        """Return where the entry of `key` is, or would be."""
        return self.folder / key[:_UID_LENGTH]

    @contextlib.contextmanager
    def lock(self, key: str, on_wait: Callable[[], None]) -> Iterator[None]:
        """Hold the lock on the entry of `key`.

        Raises
        ------
        StorageFault
            If the file system does not let us.
        """
        path = self.folder / ".locks" / f"{key[:_UID_LENGTH]}.lock"
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(locked(path, on_wait))
            except OSError as error:
                raise self._refused(error) from error
            yield

    def find(self, key: str) -> Entry | None:
        """Return the entry of `key`, or None where there is none.

        Raises
        ------
        DamagedEntryError
            If the state file does not parse, or belongs to another key.
        """
        entry = read_entry(self.entry_folder(key))
        if entry is None:
            return None
        if entry.key != key:
            raise DamagedEntryError("its stored key differs")
        if entry.made_in != str(entry.folder):
            raise DamagedEntryError(f"it was made in {entry.made_in} and moved")
        if not (entry.folder / _DESCRIPTION_FILE).exists():
            self._describe(entry)  # its maker was killed between the two files
        return entry

    def entries(self) -> Iterator[Entry]:
        """Yield all complete entries."""
        if not self.folder.is_dir():
            return
        for folder in sorted(self.folder.iterdir()):
            with contextlib.suppress(DamagedEntryError):
                entry = read_entry(folder)
                if entry is not None:
                    yield entry

    def entries_of(self, recipe_uid: str) -> list[Entry]:
        """Return the complete entries of one recipe."""
        return [entry for entry in self.entries() if entry.recipe_uid == recipe_uid]

    def begin(self, key: str) -> Path:
        """Return the empty folder in which the entry of `key` is to be built.

        Call it under the lock: whatever is there is removed, its state file first.
        """
        folder = self.entry_folder(key)
        self.discard(folder)
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise self._refused(error) from error
        return folder

    def reopen(self, key: str) -> Path:
        """Return the folder of the entry of `key` with what is in it, but without its state file.

        Call it under the lock. For entries that hold a user's data, which nothing but a request
        to remove them may remove.
        """
        folder = self.entry_folder(key)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / STATE_FILE).unlink(missing_ok=True)
        except OSError as error:
            raise self._refused(error) from error
        return folder

    def commit(self, entry: Entry) -> None:
        """Make an entry visible; the description for CM's own tools follows."""
        write_json_atomically(entry.folder / STATE_FILE, _to_json(entry))
        self._describe(entry)

    def _describe(self, entry: Entry) -> None:
        write_json_atomically(entry.folder / _DESCRIPTION_FILE, _description(entry))

    def discard(self, folder: Path) -> None:
        """Remove an entry or its debris. From the first moment on it cannot be hit any more."""
        try:
            (folder / STATE_FILE).unlink(missing_ok=True)
            if folder.exists():
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
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    new_env, new_state = outputs
    return Entry(
        uid=key[:_UID_LENGTH],
        folder=folder,
        key=key,
        recipe_alias=recipe[0],
        recipe_uid=recipe[1],
        tags=tuple(tags),
        parts=parts,
        new_env=new_env,
        new_state=new_state,
        created=now,
        made_in=str(folder),
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
    )


def _description(entry: Entry) -> dict[str, Any]:
    alias, uid = CACHE_AUTOMATION
    return {
        "alias": "",
        "automation_alias": alias,
        "automation_uid": uid,
        "uid": entry.uid,
        "tags": list(entry.tags),
        "associated_script_artifact": f"{entry.recipe_alias},{entry.recipe_uid}",
        "associated_script_artifact_uid": entry.recipe_uid,
    }

"""The index of recipes: what selection needs, in a file that is filtered, not parsed.

The file begins with a signature: the repositories, the names of their recipes, and of each metadata
file its time of change and its number. The signature is made anew by every call, with one
``stat`` a recipe, so an edited, new or removed recipe is noticed at once. Each line after it is one
recipe. Where the signature differs, only the metadata files that changed are read again.
"""

from __future__ import annotations

import binascii
import contextlib
import os
import time
from array import array
from typing import TYPE_CHECKING, Final

from cm4storage.core.errors import InternalError, StorageBenchmarkError
from cm4storage.core.records import dataclass
from cm4storage.scripting.metadata import parse_recipe
from cm4storage.scripting.metadata_files import METADATA_FILES, as_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

_FORMAT: Final = "cm4storage recipes 3"
_END_OF_SIGNATURE: Final = "\n\x1e\n"
_IN_USE: Final = "+"
_UNSURE: Final = "unsure"
_UID: Final = 4
_YOUNG_NS: Final = 100_000_000


@dataclass(frozen=True)
class Repository:
    """A repository of recipes: its alias and the folder that holds ``script/``."""

    alias: str
    place: str | os.PathLike[str]

    @property
    def folder(self) -> Path:
        """The repository's folder."""
        return as_path(self.place)

    @property
    def recipes(self) -> str:
        """The folder of its recipes."""
        return f"{os.fspath(self.place)}/script"


@dataclass(frozen=True)
class Summary:
    """What selection needs to know about a recipe."""

    alias: str
    uid: str
    tags: frozenset[str]
    variations: frozenset[str]
    place: str
    repository: str

    @property
    def folder(self) -> Path:
        """The recipe's folder."""
        return as_path(self.place)


class RecipeIndex:
    """The lines of all recipes; of several recipes with one uid the first is kept.

    Parameters
    ----------
    repositories : sequence of Repository
        In order of precedence.
    file : str
        Where the index is kept. A missing, damaged or unwritable one only costs time.
    warn : callable
        Takes one line about a recipe that cannot be read.
    """

    def __init__(
        self, repositories: Sequence[Repository], file: str, warn: Callable[[str], None]
    ) -> None:
        self._repositories = repositories
        self._file = file
        self._warn = warn
        self._lines: list[str] | None = None

    def summaries(self, text: str = "") -> list[Summary]:
        """Return the recipes whose line holds `text`."""
        if self._lines is None:
            self._lines = self._read()
        return [_summary(line) for line in self._lines if text in line and line.startswith(_IN_USE)]

    def renew(self) -> None:
        """Read all metadata files anew, whatever the index says."""
        self._lines = self._build({}, _signature(self._repositories))

    def _read(self) -> list[str]:
        try:
            with open(self._file, encoding="utf-8", errors="surrogateescape") as stream:
                text = stream.read()
        except OSError:
            text = ""
        signature = _signature(self._repositories)
        start = f"{_FORMAT}\n{signature}{_END_OF_SIGNATURE}"
        body, _, checksum = text.partition(_END_OF_SIGNATURE)[2].rpartition("\n")
        if not text.startswith(_FORMAT) or checksum != _checksum(body):
            return self._build({}, signature)
        lines = body.split("\n")
        if text.startswith(start):
            return lines
        known = {_head(line): line for line in lines if not line.startswith(_UNSURE, 1)}
        return self._build(known, signature)

    def _build(self, known: Mapping[str, str], signature: str) -> list[str]:
        """Make the index; the metadata files of lines in `known` are not read again.

        The signature was made before: what changes in between is noticed by the next call.
        """
        lines: list[str] = []
        uids: set[str] = set()
        for repository in self._repositories:
            for place, stamp in _stamps(repository):
                if "\n" in place or "\t" in place:
                    self._warn(f"this recipe is left out for its name: {place!r}")
                    continue
                line = known.get(f"{stamp}\t{place}\t{repository.alias}")
                line = line or self._line(place, stamp, repository.alias)
                uid = line.split("\t")[_UID]
                state = _IN_USE if uid and uid not in uids else "-"
                uids.add(uid)
                lines.append(f"{state}{line[1:]}")
        self._write(signature, lines)
        return lines

    def _line(self, place: str, stamp: str, repository: str) -> str:
        """Return the line of a recipe, or of what is none."""
        try:
            recipe = parse_recipe(place, repository)
        except StorageBenchmarkError as error:
            self._warn(f"this recipe is left out: {error}")
            return "\t".join((f"-{_UNSURE}", place, repository, "", "", "", ""))
        is_recipe = recipe.raw.get("automation_alias", "script") == "script"
        tags = ",".join(recipe.tags)
        variations = ";".join(recipe.variations)
        texts = (recipe.alias, recipe.uid if is_recipe else "", f",{tags},", f";{variations};")
        return "\t".join((f"-{stamp}", place, repository, *(" ".join(t.split()) for t in texts)))

    def _write(self, signature: str, lines: list[str]) -> None:
        # Not synced to disk: the index may be lost at any time.
        is_sure = not any(line.startswith(_UNSURE, 1) for line in lines)
        start = f"{_FORMAT}\n{signature if is_sure else _UNSURE}{_END_OF_SIGNATURE}"
        body = "\n".join(lines)
        temporary = f"{self._file}.{os.getpid()}.tmp"
        with contextlib.suppress(OSError):
            os.makedirs(os.path.dirname(self._file), exist_ok=True)
            with open(temporary, "w", encoding="utf-8", errors="surrogateescape") as stream:
                stream.write(f"{start}{body}\n{_checksum(body)}")
            os.replace(temporary, self._file)


def _signature(repositories: Sequence[Repository]) -> str:
    """Return what differs whenever the metadata of any recipe does."""
    parts = []
    for repository in repositories:
        folder = repository.recipes
        names = _names(folder)
        numbers = array("q", _numbers(folder, names) if names else ()).tobytes().hex()
        parts.append(f"{repository.alias}\n{folder}\n{'/'.join(names)}\n{numbers}")
    return "\n".join(parts)


def _numbers(folder: str, names: list[str]) -> list[int]:
    """Return times of change and file numbers. Every call of cm asks this for every recipe."""
    stat, first = os.stat, f"/{METADATA_FILES[0]}"
    numbers: list[int] = []
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name in names:
            try:
                status = stat(name + first, dir_fd=descriptor)
            except OSError:
                other = _status(f"{folder}/{name}")
                numbers += (other.st_ctime_ns, other.st_ino) if other is not None else (0, 0)
            else:
                numbers += (status.st_ctime_ns, status.st_ino)
    finally:
        os.close(descriptor)
    return numbers


def _stamps(repository: Repository) -> Iterator[tuple[str, str]]:
    """Yield the folder of each recipe, and what changes when its metadata is edited."""
    now_ns = time.time_ns()
    folder = repository.recipes
    for name in _names(folder):
        status = _status(f"{folder}/{name}")
        if status is not None:
            # A file this young may change again within one tick of the clock, and keep its time.
            is_young = now_ns - status.st_ctime_ns < _YOUNG_NS
            stamp = f"{status.st_ctime_ns} {status.st_size} {status.st_ino}"
            yield f"{folder}/{name}", _UNSURE if is_young else stamp


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _status(place: str) -> os.stat_result | None:
    for name in METADATA_FILES:
        try:
            return os.stat(f"{place}/{name}")
        except OSError:
            continue
    return None


def _checksum(body: str) -> str:
    return str(binascii.crc32(body.encode("utf-8", "surrogateescape")))


def _head(line: str) -> str:
    """Return what says whether a line is still true: stamp, place and repository."""
    return "\t".join(line[1:].split("\t", 3)[:3])


def _summary(line: str) -> Summary:
    try:
        _, place, repository, alias, uid, tags, variations = line.split("\t")
    except ValueError as error:
        raise InternalError("the index of recipes is damaged", where=line) from error
    return Summary(
        alias,
        uid,
        frozenset(filter(None, tags.split(","))),
        frozenset(filter(None, variations.split(";"))),
        place,
        repository,
    )

"""The manifest of a data set: two objects beside the data.

``dataset.json`` says what the data set is; it is written last, so a data set without it is not
complete. ``files.tsv`` has one line for each file in the order of keys: key, size in bytes, and
xxh3-128 of its bytes in hex.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import islice
from typing import IO, TYPE_CHECKING, Any, Protocol

from cm4storage.core.errors import StorageFault
from cm4storage.core.units import MIB
from cm4storage.core.versions import check_version
from cm4storage.dataset.identity import Identity
from cm4storage.storage.store import MissingObject

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cm4storage.storage.store import Store

SUMMARY_KEY = "dataset.json"
FILES_KEY = "files.tsv"
SCHEMA = "cm4storage.dataset"
VERSION = 1

_LINES_AT_ONCE = 4096
_BYTES_AT_ONCE = 4 * MIB


class DamagedManifest(StorageFault):
    """The manifest of a data set cannot be used; the data set counts as absent."""

    def __init__(self, store: Store, what: str) -> None:
        super().__init__(
            f"the data set's manifest is damaged: {what}",
            where=store.uri,
            advice="generate the data set again: that repairs it",
        )


class Hasher(Protocol):
    """What is fed with all bytes that are read."""

    def update(self, data: bytes, /) -> None:
        """Take in the next bytes."""

    def hexdigest(self) -> str:
        """Return the digest so far."""


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One line of ``files.tsv``."""

    key: str
    size_bytes: int
    digest: str

    @classmethod
    def from_line(cls, line: str) -> FileEntry:
        """Read one line of `text_of`; a ValueError where it is none."""
        key, size, digest = line.split("\t")
        return cls(key, int(size), digest)


def text_of(entries: Iterable[FileEntry]) -> str:
    """Return lines of key, size and digest."""
    return "".join(f"{e.key}\t{e.size_bytes}\t{e.digest}\n" for e in entries)


@dataclass(frozen=True)
class Manifest:
    """What ``dataset.json`` says.

    Attributes
    ----------
    identity : Identity
    files, total_bytes : int
        Number of files, and the sum of their sizes.
    content_digest : str
        xxh3-128 over ``files.tsv``: one digest of all bytes of the data set.
    created : str
        When it was generated, ISO 8601.
    """

    identity: Identity
    files: int
    total_bytes: int
    content_digest: str
    created: str

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``dataset.json``."""
        return {
            "schema": SCHEMA,
            "version": VERSION,
            "model": self.identity.model,
            "identity": self.identity.facts,
            "identity_digest": self.identity.digest,
            "files": self.files,
            "total_bytes": self.total_bytes,
            "content_digest": self.content_digest,
            "created": self.created,
        }


def read(store: Store, folder: str = "") -> Manifest | None:
    """Return the manifest of the data set in `folder` of `store`, or None where there is none.

    Without `folder`, the data set is at the store's root.

    Raises
    ------
    DamagedManifest
        If there is one that cannot be understood.
    StorageFault
        If a newer release wrote it, or the storage fails.
    """
    key = f"{folder}/{SUMMARY_KEY}" if folder else SUMMARY_KEY
    try:
        with store.read(key) as view:
            document = json.loads(bytes(view))
        where, version = f"{store.uri}/{key}", int(document["version"])
        check_version(version, VERSION, "the data set's manifest", where, StorageFault)
        return _from_json(document)
    except MissingObject:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedManifest(store, f"{key} is not readable") from error


def _from_json(document: dict[str, Any]) -> Manifest:
    return Manifest(
        Identity(str(document["model"]), dict(document["identity"])),
        int(document["files"]),
        int(document["total_bytes"]),
        str(document["content_digest"]),
        str(document["created"]),
    )


def write(store: Store, manifest: Manifest) -> None:
    """Write ``dataset.json``, which makes the data set complete."""
    text = json.dumps(manifest.to_json(), indent=2, allow_nan=False) + "\n"
    store.write(SUMMARY_KEY, [memoryview(text.encode())])


@dataclass(frozen=True)
class Listed:
    """What `write_files` has written: the sums, and the xxh3-128 of ``files.tsv`` in hex."""

    files: int
    total_bytes: int
    digest: str


def write_files(store: Store, entries: Iterable[FileEntry]) -> Listed:
    """Write ``files.tsv`` from entries in the order of keys, without holding them.

    They are taken first, and written then: they may take hours to come, and the store may be in
    use on the way. Until then long lists are in a temporary file.
    """
    import tempfile

    import xxhash

    hasher, files, total_bytes = xxhash.xxh3_128(), 0, 0
    with tempfile.SpooledTemporaryFile(max_size=_BYTES_AT_ONCE) as spool:
        entries_left = iter(entries)
        while batch := list(islice(entries_left, _LINES_AT_ONCE)):
            files += len(batch)
            total_bytes += sum(entry.size_bytes for entry in batch)
            text = text_of(batch).encode()
            hasher.update(text)
            _add(spool, text)
        spool.seek(0)
        store.write(FILES_KEY, _chunks(spool))
    return Listed(files, total_bytes, hasher.hexdigest())


def _add(spool: IO[bytes], text: bytes) -> None:
    try:
        spool.write(text)
    except OSError as error:
        import tempfile

        raise StorageFault(
            f"cannot keep the list of files: {error.strerror}",
            where=tempfile.gettempdir(),
            advice="free some space there, or name another folder in TMPDIR",
        ) from error


def _chunks(spool: IO[bytes]) -> Iterator[memoryview]:
    while chunk := spool.read(_BYTES_AT_ONCE):
        yield memoryview(chunk)


def read_files(store: Store, manifest: Manifest) -> Iterator[FileEntry]:
    """Yield the lines of ``files.tsv``, read in parts.

    Raises
    ------
    DamagedManifest
        If the object is missing, has a damaged line, or is not the one that the manifest means.
    """
    import xxhash

    hasher = xxhash.xxh3_128()
    for number, line in enumerate(_lines(store, hasher), 1):
        try:
            yield FileEntry.from_line(line)
        except ValueError as error:
            raise DamagedManifest(store, f"line {number} of its file list is damaged") from error
    if hasher.hexdigest() != manifest.content_digest:
        raise DamagedManifest(store, "its file list was changed")


def _lines(store: Store, hasher: Hasher) -> Iterator[str]:
    start, rest = 0, b""
    while True:
        try:
            with store.read(FILES_KEY, start=start, length=_BYTES_AT_ONCE) as view:
                part = bytes(view)
        except MissingObject as error:
            raise DamagedManifest(store, "its file list is missing") from error
        hasher.update(part)
        *lines, rest = (rest + part).split(b"\n")
        yield from (line.decode(errors="replace") for line in lines)
        start += len(part)
        if len(part) < _BYTES_AT_ONCE:
            break
    if rest:
        yield rest.decode(errors="replace")


def known(store: Store) -> Iterator[Manifest]:
    """Yield the manifests of all data sets below the root of `store`, damaged ones left out."""
    for name in store.folders():
        try:
            manifest = read(store, name)
        except StorageFault:
            continue
        if manifest is not None:
            yield manifest

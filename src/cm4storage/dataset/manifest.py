"""The manifest of a data set: two objects beside the data.

``dataset.json`` says what the data set is; it is written last, so a data set without it is not
complete. ``files.tsv`` has one line for each file in the order of keys: key, size in bytes, and
xxh3-128 of its bytes in hex.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import StorageFault
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


@dataclass(frozen=True)
class FileEntry:
    """One line of ``files.tsv``."""

    key: str
    size_bytes: int
    digest: str


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
    StorageFault
        If there is one that cannot be read, or that a newer release wrote.
    """
    key = f"{folder}/{SUMMARY_KEY}" if folder else SUMMARY_KEY
    try:
        with store.read(key) as view:
            document = json.loads(bytes(view))
        version = int(document["version"])
        if version <= VERSION:
            return _from_json(document)
    except MissingObject:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise StorageFault(
            "the data set's manifest is damaged",
            where=f"{store.uri}/{key}",
            advice="remove the data set's folder; it is then generated again",
        ) from error
    raise StorageFault(
        f"the data set's manifest has version {version}; this release reads up to {VERSION}",
        where=f"{store.uri}/{key}",
        advice="use the release that wrote it, or a newer one",
    )


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


def write_files(store: Store, entries: Iterable[FileEntry]) -> str:
    """Write ``files.tsv`` and return its xxh3-128 in hex."""
    import xxhash

    hasher = xxhash.xxh3_128()

    def chunks() -> Iterator[memoryview]:
        lines: list[str] = []
        for entry in entries:
            lines.append(f"{entry.key}\t{entry.size_bytes}\t{entry.digest}\n")
            if len(lines) == _LINES_AT_ONCE:
                yield _hashed(lines)
                lines.clear()
        yield _hashed(lines)

    def _hashed(lines: list[str]) -> memoryview:
        data = "".join(lines).encode()
        hasher.update(data)
        return memoryview(data)

    store.write(FILES_KEY, chunks())
    return hasher.hexdigest()


def read_files(store: Store) -> Iterator[FileEntry]:
    """Yield the lines of ``files.tsv``.

    Raises
    ------
    StorageFault
        If the object is missing or has a damaged line.
    """
    with store.read(FILES_KEY) as view:
        start, number = 0, 0
        data = bytes(view)
    while (end := data.find(b"\n", start)) >= 0:
        number += 1
        try:
            name, size, digest = data[start:end].decode().split("\t")
            yield FileEntry(name, int(size), digest)
        except ValueError as error:
            raise StorageFault(
                f"line {number} of the data set's file list is damaged",
                where=f"{store.uri}/{FILES_KEY}",
            ) from error
        start = end + 1


def known(store: Store) -> Iterator[Manifest]:
    """Yield the manifests of all data sets below the root of `store`, damaged ones left out."""
    for name in store.folders():
        try:
            manifest = read(store, name)
        except StorageFault:
            continue
        if manifest is not None:
            yield manifest

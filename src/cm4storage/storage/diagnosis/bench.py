"""What the probes of one location share: the open store, what is known, and what to remove."""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cm4storage.core.errors import InternalError, StorageFault
from cm4storage.storage.store import MissingObject

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cm4storage.storage.diagnosis.services import Endpoint
    from cm4storage.storage.location import StoreLocation
    from cm4storage.storage.objects.client import ObjectClient
    from cm4storage.storage.objects.service import ObjectService
    from cm4storage.storage.store import Store

_PIECE_BYTES: Final = 1024 * 1024


class GivenUp(Exception):
    """The probe is not waited for any more, and must leave nothing behind."""


@dataclass
class Access:
    """An open store and what is below it.

    Attributes
    ----------
    store : Store
    service, client : optional
        Of an object store.
    """

    store: Store
    service: ObjectService | None = None
    client: ObjectClient | None = None


@dataclass
class Bench:
    """The place where the probes work.

    Attributes
    ----------
    location : StoreLocation
    share_lifeline : bool
        See `open_store`.
    resources : ExitStack
        Closed at the end.
    access : Access or None
        Set by the probe that opens the store.
    endpoint : Endpoint or None
        Set by the probes of the network.
    http_date : tuple of float or None
        The service's clock and ours at the same moment, in seconds since the epoch.
    stopping : Event
        Set when nobody waits for the present probe any more; each probe has its own.
    folder : str
        What all keys of the probes begin with.
    removed : int
        How many keys the cleaning has dealt with.
    """

    location: StoreLocation
    share_lifeline: bool = False
    resources: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    access: Access | None = None
    endpoint: Endpoint | None = None
    http_date: tuple[float, float] | None = None
    stopping: threading.Event = field(default_factory=threading.Event)
    folder: str = field(default_factory=lambda: f"cm4storage-probe-{secrets.token_hex(8)}")
    removed: int = 0
    _keys: dict[str, None] = field(default_factory=dict)
    _made_folders: list[Path] = field(default_factory=list)

    @property
    def store(self) -> Store:
        """The open store."""
        return self._opened().store

    @property
    def service(self) -> ObjectService:
        """The service behind an object store."""
        service = self._opened().service
        if service is None:
            raise InternalError("a folder has no service")
        return service

    @property
    def client(self) -> ObjectClient:
        """The client of an object store."""
        client = self._opened().client
        if client is None:
            raise InternalError("a folder has no client")
        return client

    def key(self, name: str) -> str:
        """Return a key that nobody else has; it is removed at the end."""
        key = f"{self.folder}/{name}"
        self._keys[key] = None
        return key

    def where(self, key: str = "") -> str:
        """Return where an object is, for messages."""
        return f"{self.location.uri}/{key}".rstrip("/")

    def pieces(self, data: bytes | memoryview) -> Iterator[memoryview]:
        """Return `data` in pieces; they end in `GivenUp` when this probe is given up.

        So the store drops what it has of the object.
        """
        return _pieces(memoryview(data), self.stopping)

    def note_missing_folders(self, root: Path) -> None:
        """Remember which folders do not exist yet: they are removed at the end."""
        # Path.exists raises where this user may not look.
        self._made_folders = [path for path in (root, *root.parents) if not os.path.lexists(path)]

    def clean(self) -> list[str]:
        """Remove all that was written; return the keys of what may still be there."""
        left = []
        if self.access is not None:
            left = [key for key in self._keys if not self._remove(key)]
        for path in self._made_folders:
            with contextlib.suppress(OSError):
                path.rmdir()
        return left

    def _remove(self, key: str) -> bool:
        try:
            self.store.delete(key)
        except StorageFault as fault:
            return isinstance(fault, MissingObject)
        finally:
            self.removed += 1
        return True

    def _opened(self) -> Access:
        if self.access is None:
            raise InternalError("the store is not open")
        return self.access


def _pieces(view: memoryview, stopping: threading.Event) -> Iterator[memoryview]:
    for start in range(0, len(view), _PIECE_BYTES):
        if stopping.is_set():
            raise GivenUp
        yield view[start : start + _PIECE_BYTES]

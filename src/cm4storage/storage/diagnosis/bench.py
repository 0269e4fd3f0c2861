"""What the probes of one location share: the open store, what is known, and what to remove."""

from __future__ import annotations

import contextlib
import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cm4storage.core.errors import InternalError
from cm4storage.storage.diagnosis.ledger import Ledger

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from cm4storage.storage.diagnosis.ledger import Writing
    from cm4storage.storage.diagnosis.services import Endpoint
    from cm4storage.storage.location import StoreLocation
    from cm4storage.storage.objects.client import ObjectClient
    from cm4storage.storage.objects.service import ObjectService
    from cm4storage.storage.store import Store


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
    ledger : Ledger
        What has been written, and what is being written.
    """

    location: StoreLocation
    share_lifeline: bool = False
    resources: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    access: Access | None = None
    endpoint: Endpoint | None = None
    http_date: tuple[float, float] | None = None
    stopping: threading.Event = field(default_factory=threading.Event)
    folder: str = field(default_factory=lambda: f"cm4storage-probe-{os.urandom(8).hex()}")
    ledger: Ledger = field(default_factory=Ledger)
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
        """Return a key that nobody else has."""
        return f"{self.folder}/{name}"

    def writing(self, *names: str) -> AbstractContextManager[Writing]:
        """Let the present probe write these keys until the context ends; see `Ledger.writing`.

        They are removed at the end.
        """
        return self.ledger.writing(tuple(map(self.key, names)), self.stopping.is_set)

    def where(self, key: str = "") -> str:
        """Return where an object is, for messages."""
        return f"{self.location.uri}/{key}".rstrip("/")

    def note_missing_folders(self, root: Path) -> None:
        """Remember which folders do not exist yet: they are removed at the end."""
        # Path.exists raises where this user may not look.
        self._made_folders = [path for path in (root, *root.parents) if not os.path.lexists(path)]

    def clean(self) -> None:
        """Remove all that was written; `ledger` knows what may still be there."""
        if self.access is not None:  # else nothing could be written
            self.ledger.remove_all(self.access.store.delete)
        for path in self._made_folders:
            with contextlib.suppress(OSError):
                path.rmdir()

    def _opened(self) -> Access:
        if self.access is None:
            raise InternalError("the store is not open")
        return self.access

"""The manifest's digests, for stores that compare what they read."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cm4storage.dataset import manifest as manifests
from cm4storage.formats.format import checks_itself
from cm4storage.storage.objects.conduct import Conduct
from cm4storage.storage.opening import open_store
from cm4storage.storage.store import ComparesDigests

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cm4storage.dataset.manifest import Manifest
    from cm4storage.storage.location import StoreLocation
    from cm4storage.storage.store import Store
    from cm4storage.workload.model import Workload


@contextmanager
def open_to_read(workload: Workload, location: StoreLocation) -> Iterator[Store]:
    """Open the store of a data set; whole files are verified where their format does not do it."""
    verifies = not checks_itself(workload.dataset.format)
    with open_store(location, verifies=verifies) as store:
        yield store


def expect_as_generated(store: Store, manifest: Manifest) -> None:
    """Let `store` compare with the manifest what has no digest beside it in the storage."""
    if isinstance(store, ComparesDigests):
        store.expect(LargeFiles(store, manifest).digest)


class LargeFiles:
    """The digests of the files that were written in parts, read when the first is asked for.

    Smaller ones have their digest beside them: a data set of millions of them costs no memory.
    """

    def __init__(self, store: Store, manifest: Manifest) -> None:
        self._store, self._manifest = store, manifest
        self._lock = threading.Lock()
        self._digests: dict[str, str] | None = None

    def digest(self, key: str) -> str:
        """Return the digest of a file, empty for one that is not listed."""
        with self._lock:
            if self._digests is None:
                self._digests = {
                    entry.key: entry.digest
                    for entry in manifests.read_files(self._store, self._manifest)
                    if entry.size_bytes >= Conduct.part_bytes
                }
        return self._digests.get(key, "")

"""Open the data set that is directly at a location, whoever made it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from cm4storage.dataset import manifest as manifests
from cm4storage.dataset.digests import expect_as_generated, open_to_read
from cm4storage.dataset.foreign import open_foreign
from cm4storage.dataset.identity import Identity
from cm4storage.dataset.opening import OpenDataset
from cm4storage.dataset.verification import require_complete

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cm4storage.dataset.manifest import Manifest
    from cm4storage.dataset.opening import ReadableDataset
    from cm4storage.storage.location import StoreLocation
    from cm4storage.storage.store import Store
    from cm4storage.workload.model import Workload


@contextmanager
def open_in_place(workload: Workload, location: StoreLocation) -> Iterator[ReadableDataset]:
    """Open the data set at `location`: by a manifest of this workload, else as one of others.

    Raises
    ------
    UserError
        If it is not there.
    StorageFault
        If it is not as its manifest says.
    """
    with open_to_read(workload, location) as store:
        manifest = _own_manifest(workload, store)
        if manifest is not None:
            require_complete(store, manifest)
            expect_as_generated(store, manifest)
            yield OpenDataset(store, manifest)
            return
    with open_foreign(workload, location) as dataset:
        yield dataset


def _own_manifest(workload: Workload, store: Store) -> Manifest | None:
    try:
        manifest = manifests.read(store)
    except manifests.DamagedManifest:
        return None
    is_ours = manifest and manifest.identity.digest == Identity.of(workload).digest
    return manifest if is_ours else None

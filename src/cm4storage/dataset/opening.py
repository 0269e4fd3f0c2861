"""Open the data set of a workload for reading."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from cm4storage.core.errors import UserError
from cm4storage.core.records import dataclass
from cm4storage.dataset import manifest as manifests
from cm4storage.dataset.digests import expect_as_generated, open_to_read
from cm4storage.dataset.identity import Identity
from cm4storage.dataset.journal import Journal
from cm4storage.dataset.placement import in_folder_of_its_own
from cm4storage.dataset.verification import require_complete

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from cm4storage.dataset.manifest import Manifest
    from cm4storage.dataset.placement import Placement
    from cm4storage.storage.location import StoreLocation
    from cm4storage.storage.store import Store
    from cm4storage.workload.model import Workload


class ReadableDataset(Protocol):
    """A data set that can be read: one of ours, or one that others made."""

    @property
    def store(self) -> Store:
        """The store at the data set's root."""

    def describe(self) -> dict[str, Any]:
        """Return what a run records of its data set."""


if TYPE_CHECKING:
    Opener = Callable[[Workload, StoreLocation], AbstractContextManager[ReadableDataset]]


@dataclass(frozen=True)
class OpenDataset:
    """A complete data set: the store at its root, and its manifest."""

    store: Store
    manifest: Manifest

    def describe(self) -> dict[str, Any]:
        """Return what a run records of its data set."""
        return self.manifest.to_json()


@contextmanager
def open_dataset(
    workload: Workload, root: StoreLocation, placement: Placement = in_folder_of_its_own
) -> Iterator[OpenDataset]:
    """Open the data set of `workload` below `root`, verified by names and sizes.

    Raises
    ------
    UserError
        If it was not generated yet.
    StorageFault
        If it is not as its manifest says.
    """
    with open_unverified(workload, root, placement) as dataset:
        require_complete(dataset.store, dataset.manifest)
        yield dataset


@contextmanager
def open_unverified(
    workload: Workload, root: StoreLocation, placement: Placement = in_folder_of_its_own
) -> Iterator[OpenDataset]:
    """Open the data set of `workload` as `open_dataset` does, but look at the manifest alone."""
    identity = Identity.of(workload)
    location = placement(root, identity)
    with open_to_read(workload, location) as store:
        manifest = manifests.read(store)
        if manifest is None:
            raise _absent(store, identity)
        if manifest.identity.digest != identity.digest:
            raise UserError(
                "the data set there is that of another workload",
                where=location.uri,
                meaning=", ".join(identity.differences(manifest.identity)),
                advice="choose another folder, or the options that the data set was generated with",
            )
        expect_as_generated(store, manifest)
        yield OpenDataset(store, manifest)


def _absent(store: Store, identity: Identity) -> UserError:
    if not Journal(store, identity).is_empty:
        return UserError(
            "the generation of this data set was not finished",
            where=store.uri,
            advice="run cm4storage generate again with the same options: it makes what is missing",
        )
    return UserError(
        "the data set of this workload does not exist yet",
        where=store.uri,
        advice="generate it first, with cm4storage generate and the same options",
    )

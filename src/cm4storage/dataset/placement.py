"""Where a data set is, seen from the location that a user names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from cm4storage.dataset.identity import Identity
    from cm4storage.storage.location import StoreLocation


class Placement(Protocol):
    """Finds the root of a data set."""

    def __call__(self, named: StoreLocation, identity: Identity) -> StoreLocation:
        """Return the data set's own root, given the location that the user has named."""


def in_folder_of_its_own(named: StoreLocation, identity: Identity) -> StoreLocation:
    """Many data sets below one root, each in a folder that has its identity in its name."""
    return named.child(identity.folder)


def at_root(named: StoreLocation, identity: Identity) -> StoreLocation:
    """One data set, directly in the folder that was named, as DLIO places it."""
    del identity
    return named

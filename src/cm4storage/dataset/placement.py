"""Where a data set lies below the location that a user names."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from cm4storage.dataset.identity import Identity
    from cm4storage.storage.location import StoreLocation

    Placement = Callable[[StoreLocation, Identity], StoreLocation]


def in_its_own_folder(root: StoreLocation, identity: Identity) -> StoreLocation:
    """Return a folder named after the identity, so that many data sets may lie side by side."""
    return root.child(identity.folder)


def at_the_root(root: StoreLocation, identity: Identity) -> StoreLocation:
    """Return the location itself, as DLIO does: ``train`` and ``valid`` are directly in it."""
    del identity
    return root

"""Find a data set, or generate it: the decision, and its reason in words."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from cm4storage.core.canonical import digest
from cm4storage.core.files import locked
from cm4storage.dataset import manifest as manifests
from cm4storage.dataset.generation import generate
from cm4storage.dataset.identity import Identity
from cm4storage.dataset.journal import Journal
from cm4storage.dataset.manifest import DamagedManifest
from cm4storage.dataset.outputs import DATASET_THREADS
from cm4storage.dataset.placement import in_folder_of_its_own
from cm4storage.dataset.verification import problems
from cm4storage.storage.opening import open_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from cm4storage.core.progress import Progress
    from cm4storage.dataset.manifest import Manifest
    from cm4storage.dataset.placement import Placement
    from cm4storage.storage.location import StoreLocation
    from cm4storage.storage.store import Store
    from cm4storage.workload.model import Workload


@dataclass(frozen=True)
class Prepared:
    """A data set that is complete.

    Attributes
    ----------
    location : StoreLocation
        The data set's own root.
    manifest : Manifest
    generated : bool
        False when it was found.
    reason : str
        Why it was found or generated.
    """

    location: StoreLocation
    manifest: Manifest
    generated: bool
    reason: str


def prepare(
    workload: Workload,
    root: StoreLocation,
    progress: Progress,
    say: Callable[[str], None],
    *,
    placement: Placement = in_folder_of_its_own,
    threads: int = DATASET_THREADS,
    fsync: bool = False,
) -> Prepared:
    """Return the data set of `workload` below `root`, generated first where it is missing.

    Two processes that prepare one data set at a time do not both generate it: the second waits,
    and then finds it.

    Parameters
    ----------
    workload : Workload
    root : StoreLocation
        Where data sets are kept.
    progress : Progress
        Shows the generation.
    say : callable
        Takes one line about what is going on.
    placement : Placement
        Where below `root` this one is.
    threads : int
        How many files are made at a time.
    fsync : bool
        See `open_store`.

    Raises
    ------
    StorageFault
        If the storage fails or has not enough space.
    """
    identity = Identity.of(workload)
    location = placement(root, identity)
    with open_store(location, fsync=fsync) as store:
        found, reason = _find(store, identity)
        if found is not None:
            return Prepared(location, found, generated=False, reason=reason)
        waiting = "another process is generating this data set; waiting for it"
        with locked(_lock_file(root, location), on_wait=lambda: say(waiting)):
            found, reason = _find(store, identity)
            if found is not None:
                return Prepared(location, found, generated=False, reason=reason)
            reason = reason or _why_missing(store, root, identity)
            say(f"miss: {reason}; generating {location.uri}")
            made = generate(workload, store, progress, say, threads=threads)
            return Prepared(location, made, generated=True, reason=reason)


def _find(store: Store, identity: Identity) -> tuple[Manifest | None, str]:
    """Return the complete data set, or None and why what is there cannot be used."""
    try:
        manifest = manifests.read(store)
        if manifest is None:
            return None, ""
        if manifest.identity.digest != identity.digest:
            return None, ", ".join(identity.differences(manifest.identity))
        wrong = list(islice(problems(store, manifest), 1))
    except DamagedManifest as damage:
        return None, damage.what
    if wrong:
        return None, f"the data set is damaged ({wrong[0].key}: {wrong[0].what})"
    return manifest, (
        f"data set {identity.folder} of {manifest.created}, "
        f"{manifest.files} files verified by name and size"
    )


def _why_missing(store: Store, root: StoreLocation, identity: Identity) -> str:
    """Explain the miss by an aborted generation, or by the most similar data set that is there."""
    if not Journal(store, identity).is_empty:
        return "its generation was not finished"
    with open_store(root) as above:
        others = [m.identity for m in manifests.known(above) if m.identity.model == identity.model]
    if not others:
        return f"there is no data set for {identity.model} yet"
    closest = min((identity.differences(other) for other in others), key=len)
    return ", ".join(closest)


def _lock_file(root: StoreLocation, location: StoreLocation) -> Path:
    if root.is_folder:
        return root.path / f".{location.uri.rpartition('/')[2]}.lock"
    if root.server_dir is not None:
        return root.server_dir / "locks" / f"{digest(location.uri)[:16]}.lock"
    folder = Path(tempfile.gettempdir()) / f"cm4storage-{os.getuid()}"
    return folder / f"{digest(location.uri)[:16]}.lock"

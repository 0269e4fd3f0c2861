"""Check that a data set is there before it is used."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from cm4storage.core.errors import StorageFault
from cm4storage.dataset import manifest as manifests
from cm4storage.workload.plan import Split

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cm4storage.dataset.manifest import Manifest
    from cm4storage.storage.store import ObjectStat, Store

_SHOWN = 3


@dataclass(frozen=True)
class Problem:
    """One file that is not as the manifest says."""

    key: str
    what: str


def problems(store: Store, manifest: Manifest) -> Iterator[Problem]:
    """Yield the files that are missing or have another size than the manifest says.

    Contents are not read: that would warm the cache that is about to be measured.
    """
    listed = _data_files(store)
    found = next(listed, None)
    count = 0
    for entry in manifests.read_files(store, manifest):
        count += 1
        while found is not None and found.key < entry.key:
            found = next(listed, None)
        if found is None or found.key != entry.key:
            yield Problem(entry.key, "missing")
        elif found.size_bytes != entry.size_bytes:
            yield Problem(entry.key, f"{found.size_bytes} bytes instead of {entry.size_bytes}")
    if count != manifest.files:
        yield Problem(manifests.FILES_KEY, f"{count} lines instead of {manifest.files}")


def damaged(store: Store, manifest: Manifest) -> Iterator[Problem]:
    """Yield the files whose bytes are not those that were generated. Reads everything."""
    import xxhash

    for entry in manifests.read_files(store, manifest):
        with store.read(entry.key) as view:
            if xxhash.xxh3_128_hexdigest(view) != entry.digest:
                yield Problem(entry.key, "its bytes differ from those that were generated")


def require_complete(store: Store, manifest: Manifest) -> None:
    """Check existence and size of every file.

    Raises
    ------
    StorageFault
        Naming the first files that are wrong.
    """
    wrong = list(islice(problems(store, manifest), _SHOWN + 1))
    if wrong:
        names = "\n".join(f"{problem.key}: {problem.what}" for problem in wrong[:_SHOWN])
        more = "\nand more" if len(wrong) > _SHOWN else ""
        raise StorageFault(
            "the data set is not as its manifest says",
            where=f"{store.uri}\n{names}{more}",
            meaning="files were removed or changed after the data set was generated",
            advice="repair it: cm4storage generate, with the same --workload and --data_dir",
        )


def _data_files(store: Store) -> Iterator[ObjectStat]:
    for split in Split:
        yield from store.list(f"{split.value}/")

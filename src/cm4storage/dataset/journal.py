"""The journal of a generation: which files are finished, for the start after an aborted one.

Its parts are small objects beside the data, ``journal/<identity>/<attempt>-<part>.tsv``, since
object stores cannot append. The first line of a part is the xxh3-128 of what follows: lines as in
``files.tsv``, in the order of keys, which the parts of one attempt go on with. A part is written
when a fiftieth of the time has passed since the last one, so a kill costs that much at most, and a
day's journal has some hundred parts; or when it has thousands of lines, which bounds memory.
"""

from __future__ import annotations

import heapq
import itertools
import time
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from cm4storage.dataset.manifest import FileEntry, text_of
from cm4storage.storage.store import MissingObject

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cm4storage.dataset.identity import Identity
    from cm4storage.storage.store import Store

FOLDER: Final = "journal"

_LONGEST_PART: Final = 4096
_SHORTEST_PAUSE_S: Final = 0.2
_SHARE_OF_TIME: Final = 1 / 50


class Journal:
    """The journal of one data set.

    Parameters
    ----------
    store : Store
        At the data set's root.
    identity : Identity
        Parts of another one are as good as absent.
    """

    def __init__(self, store: Store, identity: Identity) -> None:
        self._store = store
        self._folder = f"{FOLDER}/{identity.digest[:16]}"
        self._keys = [stat.key for stat in store.list(f"{FOLDER}/")]
        self._earlier = _attempts(self._keys, self._folder)
        self._attempt = max(self._earlier, default=0) + 1
        self._parts = itertools.count(1)
        self._noted: list[FileEntry] = []
        self._begin = self._last = time.monotonic()

    @property
    def is_empty(self) -> bool:
        """Whether no earlier attempt has left anything."""
        return not self._earlier

    def entries(self) -> Iterator[FileEntry]:
        """Yield what earlier attempts have finished, in the order of keys; the last one counts."""
        latest_first = sorted(self._earlier, reverse=True)
        runs = (self._run(self._earlier[attempt]) for attempt in latest_first)
        return first_of_each(heapq.merge(*runs, key=attrgetter("key")))

    def note(self, entry: FileEntry) -> None:
        """Take note of a file that is finished; keys must come in order."""
        self._noted.append(entry)
        now = time.monotonic()
        pause_s = max(_SHORTEST_PAUSE_S, (now - self._begin) * _SHARE_OF_TIME)
        if now - self._last >= pause_s or len(self._noted) >= _LONGEST_PART:
            self.flush()

    def flush(self) -> None:
        """Write what was noted since the last part into a part of its own."""
        import xxhash

        if self._noted:
            key = f"{self._folder}/{self._attempt:04d}-{next(self._parts):06d}.tsv"
            body = text_of(self._noted).encode()
            head = f"{xxhash.xxh3_128_hexdigest(body)}\n".encode()
            self._store.write(key, [memoryview(head), memoryview(body)])
            self._keys.append(key)
            self._noted.clear()
        self._last = time.monotonic()

    def remove(self) -> None:
        """Remove all parts, those of other identities too."""
        for key in self._keys:
            self._store.delete(key)
        self._keys.clear()

    def _run(self, keys: Iterable[str]) -> Iterator[FileEntry]:
        for key in keys:
            yield from self._part(key)

    def _part(self, key: str) -> list[FileEntry]:
        """Return the lines of a part; none where it is damaged or gone."""
        import xxhash

        try:
            with self._store.read(key) as view:
                head, _, body = bytes(view).partition(b"\n")
        except MissingObject:
            return []
        if head.decode(errors="replace") != xxhash.xxh3_128_hexdigest(body):
            return []
        return [FileEntry.from_line(line) for line in body.decode().split("\n")[:-1]]


def first_of_each(entries: Iterable[FileEntry]) -> Iterator[FileEntry]:
    """Yield the first entry of each key; those of one key follow each other."""
    for _, same in itertools.groupby(entries, key=attrgetter("key")):
        yield next(same)


def _attempts(keys: Iterable[str], folder: str) -> dict[int, list[str]]:
    """Return the keys of an identity's parts by the attempt that wrote them, in order."""
    attempts: dict[int, list[str]] = {}
    for key in keys:
        parent, _, name = key.rpartition("/")
        number = name.partition("-")[0]
        if parent == folder and number.isascii() and number.isdigit():
            attempts.setdefault(int(number), []).append(key)
    return attempts

"""The Store protocol: what the loader, the generator and the verifier ask of storage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from cm4storage.core.errors import StorageFault

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager


RETRY_LIMIT_S = 20.0
"""How long a failed request to an object store is tried again, if nothing else is said."""

CHECK_LIMIT_S = 3.0
"""The same in a check: a person waits for it, and who is to be measured answers at once."""


class MissingObject(StorageFault):
    """The object, or the bucket or folder that should hold it, is not there."""


class InvalidKey(StorageFault):
    """The key cannot name an object, or would name something outside the store's root."""


@dataclass(frozen=True, slots=True)
class ObjectStat:
    """What a store knows of one object.

    Attributes
    ----------
    key : str
        The name below the store's root, with ``/`` between its parts and no leading ``/``.
    size_bytes : int
        The object's length.
    """

    key: str
    size_bytes: int


class Store(Protocol):
    """A flat set of objects below one root (a folder, or a bucket and prefix).

    Keys are relative to the root; `cm4storage.storage.keys` says which are valid. All methods may
    be called from several threads at once. Every failure is a
    `cm4storage.core.errors.StorageFault` that names the object; a missing one is a
    `MissingObject`, a key that cannot be is an `InvalidKey`.
    """

    @property
    def uri(self) -> str:
        """The root, as ``file:///folder`` or ``s3://bucket/prefix``; never with credentials."""

    @property
    def retries(self) -> int:
        """How many requests have been sent again so far, as far as that is known; 0 for files."""

    def read(
        self, key: str, *, start: int = 0, length: int | None = None
    ) -> AbstractContextManager[memoryview]:
        """Lend the bytes ``[start, start + length)``, or up to the end; shorter at the end.

        The view is read-only by convention and valid until the context ends: the store may reuse
        the memory. Nothing is copied that the backend's client does not copy itself.
        """

    def read_into(self, key: str, buffer: memoryview, *, start: int = 0) -> int:
        """Fill `buffer` from byte `start` on; return how many bytes there were."""

    def scatter(self, key: str, buffers: Sequence[memoryview], *, start: int = 0) -> int:
        """Fill `buffers` one after the other from byte `start` on; return how many bytes came.

        Fewer than there is room for: the object ends there.
        """

    def write(self, key: str, chunks: Iterable[memoryview]) -> int:
        """Write an object from `chunks`; return its size in bytes.

        Atomic: a reader sees the object as it was before, or the whole new one, whatever
        happens on the way. An error that `chunks` raises passes through unchanged. The memory of
        a chunk may be reused as soon as the next one is asked for.
        """

    def list(self, prefix: str = "") -> Iterator[ObjectStat]:
        """Yield all objects whose key starts with `prefix`, lazily, in the order of their keys."""

    def folders(self) -> Iterator[str]:
        """Yield the names before the first ``/`` of all keys, each once, in order.

        One level is listed, not all that is below it. A root that does not exist has none.
        """

    def stat(self, key: str) -> ObjectStat:
        """Return one object's size."""

    def delete(self, key: str) -> None:
        """Remove one object; a missing one is no error."""

    def make_folder(self, key: str) -> None:
        """Make a folder, where folders exist without objects in them; elsewhere do nothing.

        Software that lists a folder may want it to be there though it is empty.
        """

    def free_bytes(self) -> int | None:
        """Return the space left for new objects, or None where the backend cannot say."""

    def close(self) -> None:
        """Release connections and pooled memory."""


@runtime_checkable
class ReadsInSteps(Protocol):
    """A store that reads each part of an object when it is asked for it.

    What came can be verified while the processor's cache has it.
    """

    def read_steps(
        self, key: str, steps: Iterable[Sequence[memoryview]], *, start: int = 0
    ) -> Generator[int, None, None]:
        """Fill the buffers of one step after the other; yield how many bytes came with each.

        Fewer than there is room for: the object ends there.
        """


@runtime_checkable
class ComparesDigests(Protocol):
    """A store that compares what it reads with digests, where it knows them."""

    def expect(self, digest_of: Callable[[str], str]) -> None:
        """Learn the digests of objects that have none beside them.

        Parameters
        ----------
        digest_of : callable
            From a key to the XXH3 (128 bits, in hex) of the whole object, empty where it is not
            known. Called while the object is read, from any thread.
        """

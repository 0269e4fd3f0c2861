"""The objects below a prefix of a bucket or container, through any client."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import xxhash

from cm4storage.storage import interruptible
from cm4storage.storage.keys import check_key, is_valid
from cm4storage.storage.objects.conduct import ALWAYS_VERIFIED_BYTES, Conduct
from cm4storage.storage.objects.failure import Kind, ObjectFailure
from cm4storage.storage.objects.faults import object_fault
from cm4storage.storage.objects.listing import Listing
from cm4storage.storage.objects.ordering import in_key_order
from cm4storage.storage.objects.parts import Upload, in_parts
from cm4storage.storage.objects.retrying import Retrier, never
from cm4storage.storage.operation import UNWATCHED
from cm4storage.storage.store import ObjectStat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from cm4storage.core.errors import StorageFault
    from cm4storage.storage.objects.client import Answer
    from cm4storage.storage.objects.service import ObjectService, OwnServer
    from cm4storage.storage.operation import Operation

T = TypeVar("T")


_DEFAULT_CONDUCT: Final = Conduct()


def _unknown(_key: str) -> str:
    return ""


class ObjectStore:
    """A `Store` over the objects below a prefix.

    Parameters
    ----------
    container : str
        The bucket's or container's name; it must exist.
    prefix : str
        What stands before every key, without a final ``/``; may be empty.
    service : ObjectService
        Endpoint, credentials and client.
    conduct : Conduct
        Retries, parts and verification.
    server : OwnServer, optional
        The server behind `service`, if it is one of our own.
    """

    def __init__(
        self,
        container: str,
        prefix: str,
        service: ObjectService,
        conduct: Conduct = _DEFAULT_CONDUCT,
        server: OwnServer | None = None,
    ) -> None:
        self._service = service
        self._conduct = conduct
        self._server = server
        self._uri = f"{service.scheme}://{container}/{prefix}".rstrip("/")
        is_in_vain = never if server is None else server.has_ended
        self._retrier = Retrier(conduct.retry_limit_s, is_in_vain)
        self._client = service.client(container, prefix, conduct.retry_limit_s, is_in_vain)
        self._operation = UNWATCHED
        self._known_digest: Callable[[str], str] = _unknown

    @property
    def uri(self) -> str:
        """The container and prefix as a URI."""
        return self._uri

    @property
    def retries(self) -> int:
        """How many requests have been sent again so far."""
        return self._retrier.count + self._client.retries

    def watched(self, operation: Operation) -> ObjectStore:
        """Return this store with its next call noted in `operation`; see `Watchable`."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, _operation=operation)
        return other

    def expect(self, digest_of: Callable[[str], str]) -> None:
        """See `ComparesDigests`; asked for large objects alone, which have none beside them."""
        self._known_digest = digest_of

    @contextlib.contextmanager
    def read(self, key: str, *, start: int = 0, length: int | None = None) -> Iterator[memoryview]:
        """Lend the client's own buffer; see `Store.read`."""
        view = memoryview(self._fetch(key, start, length)).cast("B")
        try:
            yield view
        finally:
            with contextlib.suppress(BufferError):  # an array still looks at it
                view.release()

    def read_into(self, key: str, buffer: memoryview, *, start: int = 0) -> int:
        """Fill `buffer` from byte `start` on; see `Store.read_into`."""
        target = buffer.cast("B")
        self._check_range(key, start, target.nbytes)
        if not target.nbytes:
            self.stat(key)
            return 0

        def attempt() -> int:
            answer = self._client.get_into(key, target, start)
            self._check_length(answer, start, target.nbytes)
            self._check_digest(key, answer, target[: answer.end - answer.begin])
            return answer.end - answer.begin

        return self._or_nothing("read the object", key, attempt, 0)

    def scatter(self, key: str, buffers: Sequence[memoryview], *, start: int = 0) -> int:
        """Fill `buffers` from byte `start` on from one answer; see `Store.scatter`."""
        wanted = sum(buffer.nbytes for buffer in buffers)
        done = 0
        with self.read(key, start=start, length=wanted) as view:
            for buffer in buffers:
                part = view[done : done + buffer.nbytes]
                buffer.cast("B")[: len(part)] = part
                done += len(part)
        return done

    def write(self, key: str, chunks: Iterable[memoryview]) -> int:
        """Write in one request, or in parts that become visible together; see `Store.write`."""
        check_key(key, self._uri)
        part_bytes = self._conduct.part_bytes
        parts = in_parts(chunks, part_bytes)
        first = next(parts)
        if len(first) == part_bytes:
            return self._write_parts(key, Upload(first, parts, f"{self._uri}/{key}"))
        digest = xxhash.xxh3_128_hexdigest(first)
        self._try("write the object", key, lambda: self._client.put(key, first, digest))
        return len(first)

    def list(self, prefix: str = "") -> Iterator[ObjectStat]:
        """Yield the objects whose key starts with `prefix`, page by page; see `Store.list`."""
        folder = prefix.rpartition("/")[0]
        if folder and not is_valid(folder):
            return
        found = self._list_folder(folder)
        if not self._service.lists_in_key_order:
            found = in_key_order(found, f"{folder}/" if folder else "")
        for item in found:
            if item.key.startswith(prefix):
                yield item
            elif item.key > prefix:
                return

    def folders(self) -> Iterator[str]:
        """Yield the names before the first ``/`` of all keys; see `Store.folders`."""
        ask = partial(self._client.folders, self._operation.note_retry)
        for name in sorted(self._try("list the folders", "", ask)):
            # Servers that keep objects in folders also tell of those that have become empty.
            if self._service.lists_in_key_order or any(True for _ in self._list_folder(name)):
                yield name

    def stat(self, key: str) -> ObjectStat:
        """Return one object's size."""
        check_key(key, self._uri)
        size_bytes = self._try("look at the object", key, lambda: self._client.head(key))
        return ObjectStat(key, size_bytes)

    def delete(self, key: str) -> None:
        """Remove one object; a missing one is no error."""
        check_key(key, self._uri)

        def attempt() -> None:
            try:
                self._client.delete(key)
            except ObjectFailure as failure:
                if failure.kind is not Kind.NO_OBJECT:
                    raise

        self._try("delete the object", key, attempt)

    def make_folder(self, key: str) -> None:
        """See `Store.make_folder`: a bucket has no folders, only names with slashes."""
        check_key(key, self._uri)

    def free_bytes(self) -> int | None:
        """Return the space of our own server's folder; None for others, which do not say."""
        return None if self._server is None else self._server.free_bytes()

    def close(self) -> None:
        """Drop the client and its connections; who waits to try again gives up."""
        self._retrier.close()
        self._client.close()

    def _fetch(self, key: str, start: int, length: int | None) -> Any:
        self._check_range(key, start, length)
        if length == 0:
            self.stat(key)
            return b""

        def attempt() -> Any:
            answer = self._client.get(key, start, length)
            self._check_length(answer, start, length)
            self._check_digest(key, answer, memoryview(answer.data))
            return answer.data

        return self._or_nothing("read the object", key, attempt, b"")

    def _check_range(self, key: str, start: int, length: int | None) -> None:
        check_key(key, self._uri)
        if start < 0 or (length is not None and length < 0):
            raise ValueError(f"a range starts at 0 or later and is not negative: {start}, {length}")

    def _check_length(self, answer: Answer, start: int, length: int | None) -> None:
        """Let an answer pass that is all of the range that was asked for."""
        self._operation.first_byte_s = answer.first_byte_s
        count, promised = memoryview(answer.data).nbytes, answer.end - answer.begin
        end = answer.size_bytes if length is None else min(start + length, answer.size_bytes)
        if (answer.begin, answer.end) != (start, end):
            what = f"bytes {answer.begin} to {answer.end} came, not {start} to {end}"
            raise ObjectFailure(Kind.BROKEN_OFF, what)
        if count != promised:
            raise ObjectFailure(Kind.BROKEN_OFF, f"{count} of {promised} bytes arrived")

    def _check_digest(self, key: str, answer: Answer, data: memoryview) -> None:
        """Let a whole object pass that has its digest, where that is known."""
        is_small = answer.size_bytes <= ALWAYS_VERIFIED_BYTES
        if not answer.is_whole or not (self._conduct.verifies or is_small):
            return
        digest = answer.digest
        if not digest and answer.size_bytes >= self._conduct.part_bytes:
            digest = self._known_digest(key)
        if digest and xxhash.xxh3_128_hexdigest(data) != digest:
            raise ObjectFailure(Kind.DAMAGED, "the object's bytes do not match its digest")

    def _write_parts(self, key: str, upload: Upload) -> int:
        part_bytes, on_retry = self._conduct.part_bytes, self._operation.note_retry

        def attempt() -> None:
            try:
                self._client.put_parts(key, upload, part_bytes, on_retry)
            except ObjectFailure as failure:
                # What has gone into the client cannot be sent again: its source has no way back.
                failure.is_final |= upload.size_bytes > 0
                raise

        try:
            send = partial(self._retrier.call, attempt, on_retry)
            interruptible.call(send, on_abandon=upload.abandon)
        except Exception as failure:
            if upload.error is not None:
                raise upload.error from None
            if not isinstance(failure, ObjectFailure):
                raise
            raise self._fault(failure, "write the object", key) from failure
        self._check_kept(key, upload.size_bytes)
        return upload.size_bytes

    def _check_kept(self, key: str, size_bytes: int) -> None:
        """Look at what the parts have become: no service says which size it got of each."""
        kept_bytes = self.stat(key).size_bytes
        if kept_bytes != size_bytes:
            what = f"the service kept {kept_bytes} of {size_bytes} bytes"
            failure = ObjectFailure(Kind.BROKEN_OFF, what)
            raise self._fault(failure, "write the object", key)

    def _list_folder(self, folder: str) -> Iterator[ObjectStat]:
        on_retry = self._operation.note_retry
        listing = Listing(self._client, folder, on_retry)
        ask = partial(self._retrier.call, listing.next_page, on_retry)
        try:
            while page := interruptible.call(ask):
                yield from page
        except ObjectFailure as failure:
            if failure.kind is not Kind.NO_OBJECT:
                raise self._fault(failure, "list the objects", folder) from failure

    def _or_nothing(self, action: str, key: str, attempt: Callable[[], T], nothing: T) -> T:
        """Return what `attempt` reads, or `nothing` where the range lies past the end."""
        try:
            send = partial(self._retrier.call, attempt, self._operation.note_retry)
            return interruptible.call(send)
        except ObjectFailure as failure:
            if failure.kind is Kind.PAST_THE_END:
                return nothing
            raise self._fault(failure, action, key) from failure

    def _try(self, action: str, key: str, attempt: Callable[[], T]) -> T:
        try:
            send = partial(self._retrier.call, attempt, self._operation.note_retry)
            return interruptible.call(send)
        except ObjectFailure as failure:
            raise self._fault(failure, action, key) from failure

    def _fault(self, failure: ObjectFailure, action: str, key: str) -> StorageFault:
        where = f"{self._uri}/{key}".rstrip("/")
        fault = object_fault(failure, action, where, self._service)
        if self._server is None or failure.kind in (Kind.NO_CONTAINER, Kind.NO_OBJECT):
            return fault
        return self._server.explain(fault)

"""Objects in an S3 bucket, through obstore."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final, Protocol

from cm4storage.core.errors import InternalError, StorageFault, UserError
from cm4storage.core.units import MIB
from cm4storage.storage import interruptible
from cm4storage.storage.keys import check_key, is_valid
from cm4storage.storage.ordering import in_key_order
from cm4storage.storage.s3_faults import Failure, s3_fault
from cm4storage.storage.store import RETRY_LIMIT_S, MissingObject, ObjectStat

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from cm4storage.storage.s3_service import S3Service

PART_BYTES: Final = 16 * MIB
_MAX_PARTS: Final = 10_000
_CONCURRENT_PARTS: Final = 4
_STREAM_CHUNK_BYTES: Final = 64 * 1024
_LIST_PAGE: Final = 1000


class OwnServer(Protocol):
    """An embedded server: one of whose state more is known than it answers."""

    def free_bytes(self) -> int:
        """Return the space left for its data."""

    def explain(self, fault: StorageFault) -> StorageFault:
        """Return what `fault` has to do with the server's state."""


class S3Store:
    """A `Store` over the objects below a prefix of a bucket.

    Parameters
    ----------
    bucket : str
        The bucket's name; it must exist.
    prefix : str
        What stands before every key, without a final ``/``; may be empty.
    service : S3Service
        Endpoint and credentials.
    retry_limit_s : float
        After this long no failed request is tried again.
    part_bytes : int
        Objects up to this size are written by one request, larger ones in parts of it.
    server : OwnServer, optional
        The server behind `service`, if it is one of our own.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str,
        service: S3Service,
        *,
        retry_limit_s: float = RETRY_LIMIT_S,
        part_bytes: int = PART_BYTES,
        server: OwnServer | None = None,
    ) -> None:
        self._obstore = _import_client()
        self._service = service
        self._part_bytes = part_bytes
        self._server = server
        self._uri = f"s3://{bucket}/{prefix}".rstrip("/")
        self._client: Any = service.client(bucket, prefix, retry_limit_s)

    @property
    def uri(self) -> str:
        """The bucket and prefix as an ``s3://`` URI."""
        return self._uri

    @contextlib.contextmanager
    def read(self, key: str, *, start: int = 0, length: int | None = None) -> Iterator[memoryview]:
        """Lend the client's own buffer; see `Store.read`."""
        view = memoryview(interruptible.call(lambda: self._fetch(key, start, length)))
        try:
            yield view
        finally:
            with contextlib.suppress(BufferError):  # an array still looks at it
                view.release()

    def read_into(self, key: str, buffer: memoryview, *, start: int = 0) -> int:
        """Fill `buffer` from byte `start` on, chunk by chunk; see `Store.read_into`."""
        return interruptible.call(lambda: self._fetch_into(key, buffer.cast("B"), start))

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
        parts = _parts(chunks, self._part_bytes)
        first = next(parts)
        if len(first) < self._part_bytes:
            self._put(key, first, use_multipart=False)
            return len(first)
        upload = _Upload(first, parts, f"{self._uri}/{key}")
        self._put(key, upload, use_multipart=True, upload=upload)
        return upload.size_bytes

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
        try:
            level = interruptible.call(lambda: self._obstore.list_with_delimiter(self._client))
        except Exception as error:
            raise self._fault(error, "list the folders", "") from error
        for name in sorted(level["common_prefixes"]):
            # Servers that keep objects in folders also tell of those that have become empty.
            if self._service.lists_in_key_order or any(True for _ in self._list_folder(name)):
                yield name

    def stat(self, key: str) -> ObjectStat:
        """Return one object's size."""
        check_key(key, self._uri)
        try:
            meta = interruptible.call(lambda: self._obstore.head(self._client, key))
        except Exception as error:
            raise self._fault(error, "look at the object", key) from error
        return ObjectStat(key, meta["size"])

    def delete(self, key: str) -> None:
        """Remove one object; a missing one is no error."""
        check_key(key, self._uri)
        try:
            interruptible.call(lambda: self._obstore.delete(self._client, key))
        except Exception as error:
            if Failure.of(error).is_absent and Failure.of(error).code != "NoSuchBucket":
                return
            raise self._fault(error, "delete the object", key) from error

    def make_folder(self, key: str) -> None:
        """See `Store.make_folder`: a bucket has no folders, only names with slashes."""
        check_key(key, self._uri)

    def free_bytes(self) -> int | None:
        """Return the space of our own server's folder; None for others, since S3 does not say."""
        return None if self._server is None else self._server.free_bytes()

    def close(self) -> None:
        """Drop the client and its connections."""
        self._client = None

    def _fetch(self, key: str, start: int, length: int | None) -> Any:
        result = self._get(key, start, length)
        if result is None:
            return b""
        try:
            data = result.bytes()
        except Exception as error:
            raise self._fault(error, "read the object", key) from error
        self._check_complete(key, result, len(data))
        return data

    def _fetch_into(self, key: str, target: memoryview, start: int) -> int:
        result = self._get(key, start, target.nbytes)
        if result is None:
            return 0
        done = 0
        try:
            for chunk in result.stream(min_chunk_size=_STREAM_CHUNK_BYTES):
                target[done : done + len(chunk)] = chunk
                done += len(chunk)
        except Exception as error:
            raise self._fault(error, "read the object", key) from error
        self._check_complete(key, result, done)
        return done

    def _get(self, key: str, start: int, length: int | None) -> Any:
        """Return the answer to a GET, or None where the range holds no byte."""
        check_key(key, self._uri)
        if start < 0 or (length is not None and length < 0):
            raise ValueError(f"a range starts at 0 or later and is not negative: {start}, {length}")
        if length == 0:
            self.stat(key)
            return None
        try:
            return self._obstore.get(self._client, key, options=_options(start, length))
        except Exception as error:
            if Failure.of(error).status == 416:
                return None
            raise self._fault(error, "read the object", key) from error

    def _check_complete(self, key: str, result: Any, count: int) -> None:
        begin, end = result.range
        if count != end - begin:
            raise StorageFault(
                f"the object arrived with {count} of {end - begin} bytes",
                where=f"{self._uri}/{key} at {self._service.name}",
                meaning="the service, or something between, cut the answer short",
            )

    def _put(
        self, key: str, body: Any, *, use_multipart: bool, upload: _Upload | None = None
    ) -> None:
        try:
            interruptible.call(
                lambda: self._obstore.put(
                    self._client,
                    key,
                    body,
                    use_multipart=use_multipart,
                    chunk_size=self._part_bytes,
                    max_concurrency=_CONCURRENT_PARTS,
                ),
                on_abandon=upload.abandon if upload is not None else None,
            )
        except Exception as error:
            if upload is not None and upload.error is not None:
                raise upload.error from None
            raise self._fault(error, "write the object", key) from error

    def _list_folder(self, folder: str) -> Iterator[ObjectStat]:
        try:
            pages = iter(self._obstore.list(self._client, folder or None, chunk_size=_LIST_PAGE))
            while page := interruptible.call(lambda: next(pages, None)):
                for meta in page:
                    yield ObjectStat(meta["path"], meta["size"])
        except Exception as error:
            fault = self._fault(error, "list the objects", folder)
            if isinstance(fault, MissingObject) and Failure.of(error).code != "NoSuchBucket":
                return
            raise fault from error

    def _fault(self, error: Exception, action: str, key: str) -> StorageFault:
        fault = s3_fault(error, action, f"{self._uri}/{key}".rstrip("/"), self._service.name)
        if self._server is None or isinstance(fault, MissingObject):
            return fault
        return self._server.explain(fault)


def _import_client() -> Any:
    try:
        import obstore
    except ImportError as error:
        raise UserError(
            "the S3 client is not installed",
            meaning=f"the package obstore cannot be imported: {error}",
            advice="pip install 'cm4storage[s3]'",
        ) from error
    return obstore


class _Upload:
    """The parts of one object, counted, on their way into the client."""

    def __init__(self, first: bytearray, rest: Iterator[bytearray], where: str) -> None:
        self._first: bytearray | None = first
        self._rest = rest
        self._where = where
        self._count = 0
        self._is_abandoned = False
        self.size_bytes = 0
        self.error: BaseException | None = None

    def abandon(self) -> None:
        """Let the upload fail at its next part, so that no object appears."""
        self._is_abandoned = True

    def __iter__(self) -> _Upload:
        return self

    def __next__(self) -> bytearray:
        try:
            part = self._first if self._first is not None else next(self._rest)
            self._first = None
            self._note(part)
            return part
        except StopIteration:
            raise
        except BaseException as error:
            self.error = error  # the client would wrap it
            raise

    def _note(self, part: bytearray) -> None:
        if self._is_abandoned:
            raise InternalError("the upload was given up")
        self._count += 1
        self.size_bytes += len(part)
        if self._count > _MAX_PARTS:
            raise StorageFault(
                f"the object has more than {_MAX_PARTS} parts",
                where=self._where,
                meaning="S3 allows no more in one object",
                advice="write smaller objects",
            )


def _parts(chunks: Iterable[memoryview], part_bytes: int) -> Iterator[bytearray]:
    """Copy `chunks` into parts of `part_bytes`; the last is shorter, perhaps empty.

    They are copied because the client sends several at once while the caller reuses its memory.
    """
    part = bytearray()
    for chunk in chunks:
        rest = memoryview(chunk).cast("B")
        while rest.nbytes:
            room = part_bytes - len(part)
            part += rest[:room]
            rest = rest[room:]
            if len(part) == part_bytes:
                yield part
                part = bytearray()
    yield part


def _options(start: int, length: int | None) -> Any:
    if length is not None:
        return {"range": (start, start + length)}
    return {"range": {"offset": start}} if start else None

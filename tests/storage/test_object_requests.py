"""What stores of objects make of clients and services that behave in rare ways."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from azure_uses import SOME_KEY, free_port
from hypothesis import given
from hypothesis import strategies as st

from cm4storage.core.errors import StorageFault, UserError
from cm4storage.storage.objects import azure_client, boto3_faults, obstore_client
from cm4storage.storage.objects.azure_service import AzureService
from cm4storage.storage.objects.failure import Kind, ObjectFailure
from cm4storage.storage.objects.parts import Upload, in_parts
from cm4storage.storage.objects.retrying import Retrier, never
from cm4storage.storage.objects.s3_service import S3Service
from cm4storage.storage.objects.sending import Parts
from cm4storage.storage.objects.store import Conduct, ObjectStore
from cm4storage.storage.operation import Operation
from cm4storage.storage.store import ObjectStat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Scripted:
    """A client that lists the pages and takes the parts that a test wants."""

    name, lacks, retries = "scripted", {}, 0

    def __init__(self, pages: list[list[str]] | None = None) -> None:
        self.listed = pages or []
        self.parts: list[int] = []
        self.retrier = Retrier(5.0)
        self.fails = 0

    def pages(
        self, _folder: str, on_retry: Callable[[], None] | None = None
    ) -> Iterator[list[ObjectStat]]:
        self.retrier.call(self.request, on_retry)
        return ([ObjectStat(key, 1) for key in page] for page in self.listed)

    def folders(self, on_retry: Callable[[], None] | None = None) -> list[str]:
        self.retrier.call(self.request, on_retry)
        return []

    def put_parts(
        self,
        _key: str,
        parts: Iterator[bytearray],
        _part_bytes: int,
        on_retry: Callable[[], None] | None = None,
    ) -> None:
        self.retrier.call(self.request, on_retry)
        self.parts = [len(part) for part in parts]

    def request(self) -> None:
        self.fails -= 1
        if self.fails >= 0:
            raise ObjectFailure(Kind.BROKEN_OFF, "by the test")

    def head(self, _key: str) -> int:
        return sum(self.parts)

    def close(self) -> None:
        self.retrier.close()


class ScriptedService(S3Service):
    scripted: Scripted

    def client(self, *_: Any) -> Any:
        return self.scripted


@pytest.fixture
def scripted() -> Scripted:
    return Scripted()


@pytest.fixture
def store(scripted: Scripted) -> Iterator[ObjectStore]:
    service = ScriptedService("http://127.0.0.1:9", "AK", "SK")
    object.__setattr__(service, "scripted", scripted)
    with contextlib.closing(ObjectStore("bucket", "", service, Conduct(5.0, 4))) as store:
        yield store


def test_empty_pages_do_not_end_a_listing(store: ObjectStore, scripted: Scripted) -> None:
    scripted.listed = [[], ["a"], [], [], ["b", "c"], [], ["d"], []]
    assert [item.key for item in store.list()] == ["a", "b", "c", "d"]


@given(size=st.integers(0, 60), part_bytes=st.integers(1, 10), chunk=st.integers(1, 25))
def test_only_an_empty_object_has_an_empty_part(size: int, part_bytes: int, chunk: int) -> None:
    data = bytes(range(size))
    chunks = (memoryview(data[place : place + chunk]) for place in range(0, size, chunk))
    parts = list(in_parts(chunks, part_bytes))
    assert b"".join(parts) == data
    assert len(parts) == max(1, -(-size // part_bytes))
    assert all(len(part) == part_bytes for part in parts[:-1])


@pytest.mark.parametrize(("size", "parts"), [(4, [4]), (8, [4, 4]), (9, [4, 4, 1])])
def test_an_object_of_full_parts_has_no_more(
    store: ObjectStore, scripted: Scripted, size: int, parts: list[int]
) -> None:
    assert store.write("key", [memoryview(bytes(size))]) == size
    assert scripted.parts == parts


def test_as_many_full_parts_as_services_allow() -> None:
    parts = in_parts([memoryview(bytes(10_000))], 1)
    upload = Upload(next(parts), parts, "here")
    assert len(list(upload)) == upload.size_bytes == 10_000


OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "list": lambda store: list(store.list()),
    "folders": lambda store: list(store.folders()),
    "write": lambda store: store.write("key", [memoryview(bytes(9))]),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_retries_of_the_client_itself_are_noted(
    store: ObjectStore, scripted: Scripted, name: str
) -> None:
    scripted.fails = 2
    operation = Operation()
    OPERATIONS[name](store.watched(operation))
    assert operation.retries == scripted.retrier.count == 2


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_retries_of_client_and_store_share_one_limit(
    store: ObjectStore, scripted: Scripted, name: str
) -> None:
    """An inner retrier gives up before the limit; the outer one must not begin anew."""
    scripted.fails = 1_000
    scripted.retrier = Retrier(0.2)
    with pytest.raises(StorageFault, match=r"after \d retries in"):
        OPERATIONS[name](store)
    assert 1_000 - scripted.fails == scripted.retrier.count + 1


def test_a_client_does_not_wait_for_a_server_that_has_ended() -> None:
    class Ended:
        def has_ended(self) -> bool:
            return True

        def free_bytes(self) -> int:
            return 0

        def explain(self, fault: StorageFault) -> StorageFault:
            return fault

    service = S3Service(f"http://127.0.0.1:{free_port()}", "AK", "SK", client_name="boto3")
    other = AzureService("http://127.0.0.1:9/me", "me", SOME_KEY, client_name="azure-storage-blob")
    for each in (service, other):
        store = ObjectStore("bucket", "", each, Conduct(60.0, 4), Ended())
        with pytest.raises(StorageFault, match=r"is not reachable\n"):
            store.write("key", [memoryview(bytes(9))])
        assert store.retries == 0
        store.close()


def test_a_library_that_has_tried_until_the_time_was_up_is_not_asked_again() -> None:
    service = S3Service(f"http://127.0.0.1:{free_port()}", "AK", "SK")
    client = service.client("metadata-bucket", "prefix", 0.5)
    with pytest.raises(ObjectFailure, match="error sending request") as caught:
        client.folders()
    assert caught.value.kind is Kind.UNREACHABLE
    assert caught.value.retries > 0
    assert not caught.value.is_transient


@pytest.mark.parametrize("prefix", ["metadata", "Connect/TimedOut", "169.254.169.254"])
def test_names_of_objects_do_not_tell_what_failed(prefix: str) -> None:
    service = S3Service(f"http://127.0.0.1:{free_port()}", "AK", "SK")
    client = service.client("metadata-bucket", prefix, 0.0)
    with pytest.raises(ObjectFailure, match="error sending request") as caught:
        client.head("TimedOut/metadata")
    assert caught.value.kind is Kind.UNREACHABLE


def test_the_word_of_a_key_does_not_hide_that_a_service_fell_silent() -> None:
    from obstore.exceptions import GenericError

    text = (
        "Generic S3 error: Error performing GET http://h/b/Connect in 30s - HTTP error\n\n"
        'Debug source:\nuri: Some(http://h/b/Connect), path: "Connect", kind: TimedOut'
    )
    assert obstore_client.failure_of(GenericError(text)).kind is Kind.SILENT


def test_a_connection_that_was_not_made_in_time_is_no_transfer_that_broke_off() -> None:
    from obstore.exceptions import BaseError
    from obstore.store import S3Store

    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):  # who comes later waits for a place in the queue
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        store = S3Store(
            "bucket", endpoint=f"http://127.0.0.1:{listener.getsockname()[1]}", region="us-east-1",
            access_key_id="AK", secret_access_key="SK", retry_config={"max_retries": 0},
            client_options={"allow_http": True, "connect_timeout": timedelta(seconds=0.3)},
        )  # fmt: skip
        with pytest.raises(BaseError, match="error sending request") as caught:
            store.head("key")
    assert obstore_client.failure_of(caught.value).kind is Kind.UNREACHABLE


@pytest.mark.parametrize("read", [obstore_client.failure_of, boto3_faults.failure_of])
@pytest.mark.parametrize("defect", [TypeError, MemoryError, AttributeError])
def test_a_defect_is_no_failure_of_a_service(
    read: Callable[[Exception], ObjectFailure], defect: type[Exception]
) -> None:
    with pytest.raises(defect, match="ours"):
        read(defect("ours"))
    assert read(ConnectionResetError("theirs")).is_transient


def test_a_malformed_region_is_the_users_error() -> None:
    service = S3Service("http://127.0.0.1:9", "AK", "SK", region="bad region", client_name="boto3")
    with pytest.raises(UserError, match=r"(?s)boto3 refuses the settings.*bad region"):
        service.client("bucket", "")


def test_parts_that_were_given_up_are_not_sent_after_the_context() -> None:
    begun, sent, may_end = threading.Event(), [], threading.Event()

    def upload(number: int, body: bytearray) -> None:
        del body
        if number == 1:
            begun.set()
            assert may_end.wait(10)
        elif number == 2:
            raise ObjectFailure(Kind.BROKEN_OFF, "busy")
        sent.append(number)

    retrier = Retrier(60.0, never)
    threading.Timer(0.3, may_end.set).start()

    def break_off() -> None:
        with Parts(upload, retrier.call) as parts:
            parts.add(bytearray(1))
            parts.add(bytearray(1))
            assert begun.wait(10)
            raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        break_off()
    assert sent == [1]
    count = retrier.count
    time.sleep(0.2)
    assert retrier.count == count
    assert "upload-part" not in [thread.name for thread in threading.enumerate()]


def test_parts_keep_their_order() -> None:
    def upload(number: int, body: bytearray) -> dict[str, Any]:
        time.sleep(0.01 * (number % 3))
        return {"PartNumber": number, "ETag": bytes(body).decode()}

    with Parts(upload, Retrier(1.0).call) as parts:
        for number in range(1, 10):
            parts.add(bytearray(str(number).encode()))
    assert parts.results == [{"PartNumber": n, "ETag": str(n)} for n in range(1, 10)]


def test_what_azures_library_meets_has_its_kind() -> None:
    from azure.core import exceptions

    untrusted = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"
    for error, kind in (
        (exceptions.ServiceRequestError(untrusted), Kind.UNTRUSTED),
        (exceptions.ServiceResponseError(untrusted), Kind.UNTRUSTED),
        (exceptions.ServiceRequestError("refused"), Kind.UNREACHABLE),
        (exceptions.ServiceRequestError("SSLError(SSLEOFError(8))"), Kind.BROKEN_OFF),
        (exceptions.ServiceResponseTimeoutError("Read timed out"), Kind.SILENT),
        (exceptions.ServiceResponseError("reset"), Kind.BROKEN_OFF),
    ):
        assert azure_client.failure_of(error).kind is kind


def test_a_secret_at_the_cut_of_a_message_is_not_told_in_part() -> None:
    from azure.core import exceptions

    service = AzureService("http://127.0.0.1:9/me", "me", None, f"sv=1&sig={'s3cr3t' * 10}")
    service = replace(service, client_name="azure-storage-blob")
    error = exceptions.ServiceRequestError("x" * 280 + f" sig={'s3cr3t' * 10} and more")
    failure = azure_client.failure_of(error, service.redacted)
    assert "s3cr3t" not in failure.message
    assert len(failure.message) <= 300

"""The contract, kept by S3 while each operation becomes a row of a log."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from store_contract import StoreContract

from cm4storage.storage.objects.s3_service import of_embedded
from cm4storage.storage.objects.store import ObjectStore
from cm4storage.storage.oplog import FileLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cm4storage.storage.embedded import EmbeddedServer
    from cm4storage.storage.store import Store

_numbers = itertools.count()


pytestmark = pytest.mark.soak  # files show the same in a tenth of the time


class TestLoggedS3Store(StoreContract):
    @pytest.fixture
    def prefix(self) -> str:
        return f"logged-{next(_numbers)}/with space"

    @pytest.fixture
    def open_again(self, s3_server: EmbeddedServer, prefix: str) -> Callable[[], ObjectStore]:
        return lambda: ObjectStore(s3_server.bucket, prefix, of_embedded(s3_server))

    @pytest.fixture
    def store(self, open_again: Callable[[], ObjectStore], tmp_path: Path) -> Iterator[Store]:
        below = open_again()
        with FileLog(tmp_path / "log") as log:
            yield log.logged(below, "http://127.0.0.1")
        below.close()

    @pytest.fixture
    def debris(self, s3_server: EmbeddedServer, boto: Any) -> Callable[[], list[str]]:
        def unfinished() -> list[str]:
            answer = boto.list_multipart_uploads(Bucket=s3_server.bucket)
            return [upload["Key"] for upload in answer.get("Uploads", [])]

        return unfinished

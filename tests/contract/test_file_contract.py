"""The contract, kept by folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from store_contract import StoreContract

from cm4storage.storage.direct_reads import DirectReads
from cm4storage.storage.folders.file import FileStore
from cm4storage.storage.limited_reads import LimitedReads
from cm4storage.storage.oplog import FileLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cm4storage.storage.store import Store


class TestFileStore(StoreContract):
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        return tmp_path / "the root"

    @pytest.fixture
    def open_again(self, root: Path) -> Callable[[], FileStore]:
        return lambda: FileStore(root)

    @pytest.fixture
    def store(self, root: Path) -> Iterator[FileStore]:
        store = FileStore(root)
        yield store
        store.close()

    @pytest.fixture
    def debris(self, root: Path) -> Callable[[], list[str]]:
        return lambda: [path.name for path in root.rglob("*.tmp")]


class TestSyncedFileStore(TestFileStore):
    @pytest.fixture
    def store(self, root: Path) -> Iterator[FileStore]:
        store = FileStore(root, fsync=True)
        yield store
        store.close()


class TestLoggedFiles(TestFileStore):
    """Each operation becomes a row of a log."""

    @pytest.fixture
    def store(self, root: Path, tmp_path: Path) -> Iterator[Store]:
        below = FileStore(root)
        with FileLog(tmp_path / "log") as log:
            yield log.logged(below, "file://")
        below.close()


class TestLimitedReads(TestFileStore):
    """Objects that are read by many small requests."""

    @pytest.fixture
    def store(self, root: Path) -> Iterator[LimitedReads]:
        below = FileStore(root)
        store = LimitedReads(below, 70_001)
        yield store
        store.close()
        below.close()

    def test_readers_see_the_old_or_the_new_object(self, *_: object) -> None:
        pytest.skip("several requests may see an object before and after it is replaced")


class TestDirectReads(TestFileStore):
    """Files that are read past the page cache."""

    @pytest.fixture
    def store(self, root: Path, needs_direct_io: None) -> Iterator[DirectReads]:
        del needs_direct_io
        below = FileStore(root)
        store = DirectReads(below)
        yield store
        store.close()
        below.close()

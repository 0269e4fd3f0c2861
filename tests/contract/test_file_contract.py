"""The contract, kept by folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from store_contract import StoreContract

from cm4storage.storage.file import FileStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


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

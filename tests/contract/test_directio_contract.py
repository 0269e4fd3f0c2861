"""The contract, kept by folders past the page cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from store_contract import StoreContract

from cm4storage.storage.folders.directio import DirectStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.mark.usefixtures("needs_direct_io")
class TestDirectStore(StoreContract):
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        return tmp_path / "the root"

    @pytest.fixture
    def open_again(self, root: Path) -> Callable[[], DirectStore]:
        return lambda: DirectStore(root)

    @pytest.fixture
    def store(self, root: Path) -> Iterator[DirectStore]:
        store = DirectStore(root)
        yield store
        store.close()

    @pytest.fixture
    def debris(self, root: Path) -> Callable[[], list[str]]:
        return lambda: [path.name for path in root.rglob("*.tmp")]


class TestSyncedDirectStore(TestDirectStore):
    @pytest.fixture
    def store(self, root: Path) -> Iterator[DirectStore]:
        store = DirectStore(root, fsync=True)
        yield store
        store.close()

"""Stores under test: folders, and a real S3 server that the tests start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cm4storage.storage import embedded

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[embedded.EmbeddedServer]:
    """One embedded server for all tests."""
    with embedded.connect(tmp_path_factory.mktemp("s3-server")) as server:
        yield server

"""Stores under test: folders, and real S3 and Azure servers that the tests start."""

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


@pytest.fixture(scope="session")
def azure_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[embedded.EmbeddedServer]:
    """One embedded Azure server for all tests."""
    with embedded.connect(tmp_path_factory.mktemp("azure-server"), "azure") as server:
        yield server

"""The services under faults, and the outcomes of all cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cells import run_all
from worlds import S3World

from cm4storage.storage import embedded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cells import Cell, Outcome, World


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[embedded.EmbeddedServer]:
    """One embedded server for all tests that do not end it."""
    with embedded.connect(tmp_path_factory.mktemp("s3-server")) as server:
        yield server


@pytest.fixture(scope="session")
def world(s3_server: embedded.EmbeddedServer) -> World:
    """Give a service and a client."""
    return S3World(s3_server)


@pytest.fixture(scope="session")
def outcomes(world: World) -> dict[Cell, Outcome]:
    """Try every fault with every operation."""
    return run_all(world)

"""The services under faults, and the outcomes of all cells."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from cells import run_all
from proxy import FaultyProxy
from worlds import WORLDS, world_of

from cm4storage.storage import embedded
from cm4storage.storage.location import StoreLocation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cells import Cell, Outcome, World

OTHERS = sorted(set(WORLDS) - {"s3-obstore"})


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[embedded.EmbeddedServer]:
    """One embedded server for all tests that do not end it."""
    with embedded.connect(tmp_path_factory.mktemp("s3-server")) as server:
        yield server


@pytest.fixture(scope="session")
def azure_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[embedded.EmbeddedServer]:
    """One embedded Azure server."""
    with embedded.connect(tmp_path_factory.mktemp("azure-server"), "azure") as server:
        yield server


@pytest.fixture(
    scope="session",
    params=["s3-obstore", *(pytest.param(name, marks=pytest.mark.soak) for name in OTHERS)],
)
def world(request: pytest.FixtureRequest) -> World:
    """Give a service and a client; the soak session tries all of them."""
    server = request.getfixturevalue(f"{WORLDS[request.param][0]}_server")
    return world_of(request.param, server)


@pytest.fixture(scope="session")
def outcomes(world: World) -> dict[Cell, Outcome]:
    """Try every fault with every operation."""
    return run_all(world)


@pytest.fixture
def credentials(s3_server: embedded.EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the environment name the credentials of the server, as a user's does."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_access_key)
    monkeypatch.setenv("AWS_REGION", "us-east-1")


@pytest.fixture
def proxy(s3_server: embedded.EmbeddedServer) -> Iterator[FaultyProxy]:
    """Give a proxy before the server that lets everything pass at first."""
    with FaultyProxy(s3_server.endpoint_url) as proxy:
        yield proxy


@pytest.fixture
def direct(credentials: None, s3_server: embedded.EmbeddedServer, tmp_path: Path) -> StoreLocation:
    """Return a location of a test's own on the server itself."""
    del credentials
    uri = f"s3://{s3_server.bucket}/{tmp_path.name}"
    return StoreLocation.parse(uri, endpoint_url=s3_server.endpoint_url)


@pytest.fixture
def place(direct: StoreLocation, proxy: FaultyProxy) -> StoreLocation:
    """Return the same location through the proxy."""
    return StoreLocation.parse(direct.uri, endpoint_url=proxy.url)

"""Embedded servers for the tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from server_processes import User, processes_of, wait_until

from cm4storage.storage import embedded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[embedded.EmbeddedServer]:
    """One embedded server for the tests that do not end it."""
    with embedded.connect(tmp_path_factory.mktemp("shared-server")) as server:
        yield server


@pytest.fixture
def server_dir(tmp_path: Path) -> Iterator[Path]:
    """Give a data folder whose server must be gone when the test ends."""
    folder = tmp_path / "server data"
    yield folder
    wait_until(lambda: not processes_of(folder), "the server and its supervisor end")


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> str:
    """Give the kind of server that a test is parametrized with, else that of S3."""
    return str(getattr(request, "param", "s3"))


@pytest.fixture
def new_user(server_dir: Path, kind: str) -> Iterator[Callable[..., User]]:
    """Make a `User` of `server_dir`; those that are left at the end are killed."""
    users: list[User] = []

    def make(*arguments: str, **options: Any) -> User:
        users.append(User(server_dir, kind, *arguments, **options))
        return users[-1]

    yield make
    for user in users:
        if user.process.poll() is None:
            user.kill()


@pytest.fixture(scope="session")
def azure_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[embedded.EmbeddedServer]:
    """One embedded Azure server for the tests that do not end it."""
    with embedded.connect(tmp_path_factory.mktemp("shared-azure"), "azure") as server:
        yield server

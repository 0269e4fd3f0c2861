"""Stores under test: folders, and real S3 and Azure servers that the tests start.

A client of objects says what it lacks, and tests are marked with what they need: what is lacking
is skipped, and shows as such in the matrix at the end of ``pytest tests/contract``.
"""

from __future__ import annotations

import os
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest

from cm4storage.storage import embedded
from cm4storage.storage.objects.azure_client import AzureSdkClient
from cm4storage.storage.objects.boto3_client import Boto3Client
from cm4storage.storage.objects.obstore_client import ObstoreClient
from cm4storage.storage.objects.s3dlio_client import S3dlioClient

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LACKS = {
    client.name: client.lacks
    for client in (ObstoreClient, Boto3Client, S3dlioClient, AzureSdkClient)
}


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


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no credentials"))


@pytest.fixture(autouse=True)
def _only_what_the_client_can(request: pytest.FixtureRequest) -> None:
    """Skip what the client lacks; name the cells of the matrix that a test belongs to."""
    given = getattr(request.node, "callspec", None)
    client = getattr(request.cls, "client", "") or (given.params.get("client") if given else "")
    if not client or not hasattr(request.cls, "backend"):
        return
    lacks = LACKS[client]
    needs = [name for marker in request.node.iter_markers("needs") for name in marker.args]
    for name in needs or ["everything else"]:
        cell = (request.cls.backend, client, name)
        request.node.user_properties.append(("cell", "/".join(cell)))
    lacking = [name for name in needs if name in lacks]
    if lacking:
        pytest.skip(f"{lacking[0]}: {lacks[lacking[0]]}")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the matrix of backends, clients and capabilities."""
    cells: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for outcome in ("passed", "skipped", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            for name, value in getattr(report, "user_properties", []):
                if name == "cell":
                    client, _, capability = value.rpartition("/")
                    cells[capability][client].add(outcome)
    if not cells:
        return
    clients = sorted({client for row in cells.values() for client in row})
    terminalreporter.section("what clients can do")
    terminalreporter.line("".join(f"{name:22}" for name in ["", *clients]))
    for capability, row in sorted(cells.items()):
        marks = (_mark(row[client]) for client in clients)
        terminalreporter.line("".join(f"{text:22}" for text in [capability, *marks]))


def _mark(outcomes: set[str]) -> str:
    if outcomes & {"failed", "error"}:
        return "FAILED"
    return "yes" if "passed" in outcomes else "lacks it" if outcomes else "-"

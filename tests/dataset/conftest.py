"""What tests of data sets share: an embedded S3 server, and generations in other processes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from dataset_processes import SLOW_GENERATION

from cm4storage.storage import embedded
from cm4storage.storage.location import EMBEDDED_BUCKET, StoreLocation


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory):
    """One embedded server for all tests."""
    with embedded.connect(tmp_path_factory.mktemp("s3-server")) as server:
        yield server


@pytest.fixture(params=["file", "s3"])
def place(request, tmp_path, monkeypatch):
    """Return a location of a test's own, in a folder and on S3."""
    if request.param == "file":
        return StoreLocation.parse(str(tmp_path / "data"))
    server = request.getfixturevalue("s3_server")
    embedded.ensure_bucket(server, EMBEDDED_BUCKET)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", server.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.secret_access_key)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    prefix = f"s3://{EMBEDDED_BUCKET}/{tmp_path.name}"
    return StoreLocation.parse(prefix, endpoint_url=server.endpoint_url)


@pytest.fixture
def start_slowly():
    """Return a function that starts a slow generation in a process of its own."""
    processes = []

    def start(params, place):
        command = [sys.executable, "-c", SLOW_GENERATION, params, place.uri]
        command += [place.endpoint_url or "", str(place.server_dir or "")]
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        processes.append(subprocess.Popen(command, text=True, env=os.environ, **pipes))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stderr.close()

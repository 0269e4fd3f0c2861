"""What tests of several folders share: small workloads on local files."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

from cm4storage.cli.main import main
from cm4storage.storage.folders.alignment import memory_file_system
from cm4storage.storage.location import StoreLocation
from cm4storage.workload.resolve import Request, resolve

# Each change is judged by the same examples; `nox -s search` looks for new ones.
settings.register_profile("same", derandomize=True)
settings.register_profile("search", print_blob=True)
settings.load_profile("same")

TESTS = Path(__file__).parent
LONG = (
    *("bootstrap", "job", "faults", "docs", "packaging", "contract", "node", "storage"),
    "authoring",
)

SMALL_PARAMS = (
    "dataset.num_files_train=10 dataset.record_length_bytes=5000 "
    "dataset.record_length_bytes_stdev=900 dataset.record_length_bytes_resize=0 "
    "reader.batch_size=2 train.computation_time=0 train.epochs=2"
)


def pytest_configure() -> None:
    """Let Ctrl-C reach what tests start, also where pytest runs in the background of a shell."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items) -> None:
    """Take the folders first whose files take minutes, so that none of them is left for the end."""
    places = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.relative_to(TESTS).parts[0], len(LONG)))


@pytest.fixture
def small_params():
    return SMALL_PARAMS


@pytest.fixture
def small_workload():
    """Return a function from overrides to a small workload."""

    def make(params="", *, model="unet3d", accelerator="h100"):
        request = Request(model=model, accelerator=accelerator, params=f"{SMALL_PARAMS} {params}")
        return resolve(request).workload

    return make


@pytest.fixture
def root(tmp_path):
    return StoreLocation.parse(str(tmp_path / "data"))


@pytest.fixture
def needs_direct_io(tmp_path):
    """Skip the test where temporary folders are on a file system without O_DIRECT."""
    probe = tmp_path / "probe"
    try:
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_DIRECT))
    except OSError:
        pytest.skip("the file system of temporary folders refuses O_DIRECT")
    finally:
        probe.unlink(missing_ok=True)
    if memory_file_system(str(tmp_path)):
        pytest.skip("temporary folders are memory, where O_DIRECT has no meaning")


@pytest.fixture
def memory_folder():
    """Return a folder whose files are memory."""
    if memory_file_system("/dev/shm") != "tmpfs":
        pytest.skip("/dev/shm is no tmpfs here")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


@pytest.fixture
def boto(s3_server):
    """Give a boto3 client, the foreign judge, of the folder's own embedded server."""
    import boto3
    from botocore.config import Config

    client = boto3.client(
        "s3",
        endpoint_url=s3_server.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=s3_server.access_key_id,
        aws_secret_access_key=s3_server.secret_access_key,
        config=Config(proxies={}),
    )
    yield client
    client.close()


@pytest.fixture
def cm4storage_of():
    """Return a function from the words of a command to its exit code, run in this process."""
    before = signal.getsignal(signal.SIGTERM)
    yield main
    signal.signal(signal.SIGTERM, before)

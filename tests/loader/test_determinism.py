"""The same samples in the same order: for any number of readers, on every backend."""

from __future__ import annotations

import functools
import hashlib

import pytest
from running_jobs import run

from cm4storage.core.progress import NoProgress
from cm4storage.dataset.preparation import prepare
from cm4storage.loader.plugins import Plugins
from cm4storage.storage import embedded
from cm4storage.storage.location import EMBEDDED_BUCKET, StoreLocation

PARAMS = (
    "dataset.num_files_train=8 dataset.num_subfolders_train=2 reader.batch_size=3 train.epochs=2 "
    "reader.file_shuffle=seed reader.sample_shuffle=seed reader.shuffle_size=3 train.seed=7"
)
FORMATS = {
    "npz": "dataset.num_samples_per_file=1",
    "npy": "dataset.num_samples_per_file=4",
    "hdf5": "dataset.num_samples_per_file=4",
    "tfrecord": "dataset.num_samples_per_file=4",
    "csv": "dataset.num_samples_per_file=3",
    "jpeg": "dataset.num_samples_per_file=1",
    "png": "dataset.num_samples_per_file=1",
    "indexed_binary": "dataset.num_samples_per_file=4",
    "parquet": "dataset.num_samples_per_file=4",
}


@pytest.fixture(scope="module", params=["s3", "azure"])
def server(request, tmp_path_factory):
    """Return an embedded server that runs during this module's tests of its kind."""
    with embedded.connect(tmp_path_factory.mktemp("server"), request.param) as found:
        embedded.ensure_bucket(found, EMBEDDED_BUCKET)
        yield found


@pytest.fixture
def remote(server, tmp_path, monkeypatch):
    """Return a location of a test's own on the server."""
    names = {
        "s3": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        "az": ("AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_KEY"),
    }
    scheme = "s3" if server.kind.container == "bucket" else "az"
    for name, value in zip(
        names[scheme], (server.access_key_id, server.secret_access_key), strict=True
    ):
        monkeypatch.setenv(name, value)
    prefix = f"{scheme}://{EMBEDDED_BUCKET}/{tmp_path.name}"
    return StoreLocation.parse(prefix, endpoint_url=server.endpoint_url)


class Digests:
    """Keeps a digest of every batch, with its shape and type."""

    def __init__(self, kept, _workload):
        self.kept = kept

    def __call__(self, batch, duration_s):
        del duration_s
        content = hashlib.sha256(batch.tobytes()).hexdigest()
        self.kept.append((content, batch.shape, str(batch.dtype)))


def seen(workload, place):
    """Run, and return the digests of batches and order, and the first ids."""
    kept = []
    outcome = run(workload, place, plugins=Plugins(compute_step=functools.partial(Digests, kept)))
    return kept, outcome.order_digest, outcome.first_sample_ids


@pytest.mark.parametrize("name", FORMATS)
def test_readers_and_backends_change_nothing(small_workload, root, remote, name):
    params = f"{PARAMS} dataset.format={name} {FORMATS[name]}"
    workload = small_workload(params)
    wrote = [prepare(workload, place, NoProgress(), lambda _line: None) for place in (root, remote)]
    assert wrote[0].manifest.content_digest == wrote[1].manifest.content_digest
    found = [
        seen(small_workload(f"{params} reader.read_threads={threads}"), place)
        for place in (root, remote)
        for threads in (1, 2, 4)
    ]
    assert found[0][0]
    assert all(each == found[0] for each in found)
    batches = found[0][0]
    steps = workload.steps_per_epoch()
    assert batches[:steps] != batches[steps:]


@pytest.mark.usefixtures("needs_direct_io")
@pytest.mark.parametrize("name", FORMATS)
def test_past_the_page_cache_nothing_changes(small_workload, root, tmp_path, name):
    """Both schemes generate the same bytes, and read the same from what the other wrote."""
    workload = small_workload(f"{PARAMS} dataset.format={name} {FORMATS[name]}")
    direct = StoreLocation.parse(f"directio://{tmp_path}/direct")
    wrote = [prepare(workload, place, NoProgress(), lambda _line: None) for place in (root, direct)]
    assert wrote[0].manifest.content_digest == wrote[1].manifest.content_digest
    crossed = StoreLocation.parse(f"directio://{root.path}"), StoreLocation.parse(str(direct.path))
    for place in crossed:
        assert not prepare(workload, place, NoProgress(), lambda _line: None).generated
    found = [seen(workload, place) for place in (root, direct, *crossed)]
    assert found[0][0]
    assert all(each == found[0] for each in found)

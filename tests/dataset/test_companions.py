"""Files that come with data files, such as indexes, are part of the data set."""

from __future__ import annotations

import json
import threading

import pytest
import xxhash

from cm4storage.core.errors import InternalError, StorageFault
from cm4storage.core.progress import NoProgress
from cm4storage.dataset import generation
from cm4storage.dataset.opening import open_dataset
from cm4storage.dataset.preparation import prepare
from cm4storage.dataset.verdict import verify_contents, verify_names
from cm4storage.formats.format import Companion
from cm4storage.formats.npz import Npz

PARAMS = "dataset.num_files_eval=3 dataset.num_subfolders_train=3"


class Indexed(Npz):
    """An npz format with an index in a folder of its own, and two beside each file."""

    def companions(self, key, shape):
        text = f"{key} {shape.samples}\n".encode()
        yield Companion(f"index/{key}.idx", text)
        yield Companion(f"{key}.sz.idx", text * 2)
        yield Companion(f"{key}.off.idx", text * 3)


class OfUnknownSize(Npz):
    """A format that cannot say its sizes beforehand."""

    def __init__(self, dataset):
        super().__init__(dataset)
        self.has_exact_size = False

    def file_bytes(self, shape):
        return 2 * super().file_bytes(shape)


class OutOfOrder(Npz):
    """A format whose companions would come before their file."""

    def companions(self, key, shape):
        del shape
        yield Companion(f"a-{key}", b"")


class Shown(NoProgress):
    """Notes what a progress bar would show."""

    def start(self, what, total, unit, done=0):
        self.started, self.advanced = (what, total, unit, done), 0

    def advance(self, units, detail=""):  # noqa: ARG002 - the protocol prescribes it
        self.advanced += units


@pytest.fixture
def prepared(small_workload, root, monkeypatch):
    """Return a function that prepares a data set of a format."""

    def make(kind):
        monkeypatch.setattr(generation, "format_of", kind)
        progress, lines = Shown(), []
        made = prepare(small_workload(PARAMS), root, progress, lines.append)
        return made, progress, lines

    return make


def test_companions_are_made_listed_and_verified(prepared, small_workload, root):
    made, progress, _ = prepared(Indexed)
    folder = made.location.path
    lines = [line.split("\t") for line in (folder / "files.tsv").read_text().splitlines()]
    keys = [key for key, _, _ in lines]
    assert keys == sorted(keys)
    assert len(keys) == made.manifest.files == 4 * 13
    there = (p for top in ("index", "train", "valid") for p in (folder / top).rglob("*.*"))
    assert {str(path.relative_to(folder)) for path in there} == set(keys)
    for key, size, digest in lines:
        content = (folder / key).read_bytes()
        assert (len(content), xxhash.xxh3_128_hexdigest(content)) == (int(size), digest)
    assert progress.advanced == progress.started[1]  # a bar that ends is full
    (folder / "index/train/0/img_00_of_10.npz.idx").write_bytes(b"no")
    damaged = pytest.raises(StorageFault, match=r"index/train/0/img_00_of_10\.npz\.idx")
    with damaged, open_dataset(small_workload(PARAMS), root):
        pass


def test_missing_companions_are_made_alone(prepared):
    made, _, _ = prepared(Indexed)
    folder = made.location.path
    victims = sorted(folder.rglob("*.idx"))[::7]
    contents = [victim.read_bytes() for victim in victims]
    for victim in victims:
        victim.unlink()
    before = {path: path.stat().st_ino for path in folder.rglob("*.npz")}
    again, _, lines = prepared(Indexed)
    assert f"resuming: {52 - len(victims)} of 52 files are there" in lines
    assert [victim.read_bytes() for victim in victims] == contents
    assert {path: path.stat().st_ino for path in folder.rglob("*.npz")} == before
    assert again.manifest.content_digest == made.manifest.content_digest


def test_a_damaged_or_foreign_index_is_found(prepared, small_workload, root):
    made, _, _ = prepared(Indexed)
    index = sorted((made.location.path / "index").rglob("*.idx"))[0]
    index.write_bytes(index.read_bytes()[::-1])
    (made.location.path / "index" / "other.idx").write_text("x")
    with open_dataset(small_workload(PARAMS), root) as dataset:
        names = verify_names(dataset.store, dataset.manifest)
        assert names.by_kind == {"foreign": 1}
        contents = verify_contents(dataset.store, dataset.manifest, NoProgress(), 2)
        assert contents.by_kind == {"foreign": 1, "content": 1}


def test_progress_of_a_format_without_exact_sizes_counts_files(prepared):
    made, progress, _ = prepared(OfUnknownSize)
    assert progress.started == ("generating", 13, "file", 0)
    assert progress.advanced == 13
    sorted(made.location.path.rglob("*.npz"))[2].unlink()
    _, progress, _ = prepared(OfUnknownSize)
    assert progress.started == ("generating", 13, "file", 12)
    assert progress.advanced == 1


def test_each_thread_has_a_format_of_its_own(prepared, monkeypatch):
    users = {}

    class Watched(Npz):
        def encode(self, shape, content):
            users.setdefault(id(self), set()).add(threading.get_ident())
            yield from super().encode(shape, content)

    kept = []  # so that no id is used twice
    monkeypatch.setattr(generation, "DATASET_THREADS", 4)
    prepared(lambda dataset: kept.append(Watched(dataset)) or kept[-1])
    assert users
    assert all(len(threads) == 1 for threads in users.values())


def test_companions_out_of_order_are_a_defect_of_ours(prepared):
    with pytest.raises(InternalError, match="does not come after"):
        prepared(OutOfOrder)


def test_the_manifest_counts_companions(prepared):
    made, _, _ = prepared(Indexed)
    summary = json.loads((made.location.path / "dataset.json").read_text())
    assert summary["files"] == 52

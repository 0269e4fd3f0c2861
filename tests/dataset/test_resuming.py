"""A generation that was aborted, in whatever way, goes on where it was."""

from __future__ import annotations

import signal
import time
from dataclasses import replace

import pytest
from dataset_processes import journal_parts, journaled, objects, wait_for_journal
from obstore.store import S3Store

from cm4storage.core.errors import StorageFault, UserError
from cm4storage.core.progress import NoProgress
from cm4storage.dataset.identity import Identity
from cm4storage.dataset.journal import Journal
from cm4storage.dataset.manifest import FileEntry
from cm4storage.dataset.opening import open_dataset
from cm4storage.dataset.preparation import prepare
from cm4storage.storage.folders.file import FileStore
from cm4storage.storage.opening import open_store

FILES = "dataset.num_files_train=150 dataset.num_files_eval=4"


class Recorded(NoProgress):
    """Notes what a progress bar would show."""

    def start(self, what, total, unit, done=0):  # noqa: ARG002 - the protocol prescribes it
        self.total, self.unit, self.before, self.advanced = total, unit, done, 0

    def advance(self, units, detail=""):  # noqa: ARG002 - the protocol prescribes it
        self.advanced += units


def prepared(workload, place, **options):
    """Prepare the data set; return it, the lines said, and the progress."""
    lines, progress = [], Recorded()
    return prepare(workload, place, progress, lines.append, **options), lines, progress


def changes(place):
    """Return what tells of each object whether it was written again."""
    if place.scheme == "s3":
        options = {"allow_http": True}
        bucket = S3Store(
            place.bucket, prefix=place.prefix, endpoint=place.endpoint_url, client_options=options
        )
        pages = list(bucket.list())
        return {meta["path"]: meta["last_modified"] for page in pages for meta in page}
    stats = {path: path.stat() for path in place.path.rglob("*.npz")}
    return {
        str(path.relative_to(place.path)): (stat.st_ino, stat.st_mtime_ns)
        for path, stat in stats.items()
    }


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_generation_goes_on(small_workload, small_params, place, start_slowly, number):
    workload = small_workload(FILES)
    identity = Identity.of(workload)
    own = place.child(identity.folder)
    process = start_slowly(f"{small_params} {FILES}", place)
    wait_for_journal(process, own, identity, 20)
    process.send_signal(number)
    process.communicate()
    known = journaled(own, identity)
    assert 20 <= len(known) < 154
    with pytest.raises(UserError, match="was not finished"), open_dataset(workload, place):
        pass
    before = changes(own)
    time.sleep(1.1)  # S3 tells when an object was written in seconds
    made, lines, progress = prepared(workload, place)
    after = changes(own)
    assert {e.key: after[e.key] for e in known} == {e.key: before[e.key] for e in known}
    assert f"resuming: {len(known)} of 154 files are there" in lines
    assert lines[0].startswith("miss: its generation was not finished; generating")
    known_bytes = sum(entry.size_bytes for entry in known)
    assert (progress.before, progress.total) == (known_bytes, made.manifest.total_bytes)
    assert progress.advanced == made.manifest.total_bytes - known_bytes
    assert journal_parts(own) == []
    whole, _, _ = prepared(workload, replace(place, uri=f"{place.uri}-whole"))
    for name in ("train", "valid", "files.tsv"):
        there, wanted = objects(own), objects(whole.location)
        assert {k: v for k, v in there.items() if k.startswith(name)} == {
            k: v for k, v in wanted.items() if k.startswith(name)
        }


def test_generation_killed_again_and_again_ends_all_the_same(
    small_workload, small_params, place, start_slowly
):
    workload = small_workload(FILES)
    identity, own = Identity.of(workload), place.child(Identity.of(workload).folder)
    for files in (10, 20, 30, 40):
        process = start_slowly(f"{small_params} {FILES}", place)
        wait_for_journal(process, own, identity, files)
        process.kill()
        process.communicate()
    assert len({part.partition("-")[0] for part in journal_parts(own)}) >= 1
    _, lines, _ = prepared(workload, place)
    assert any(line.startswith("resuming: ") for line in lines)
    with open_dataset(workload, place):
        pass


@pytest.fixture
def journal_of(small_workload, root):
    """Return a function that writes a journal of entries beside no data."""

    def write(entries, identity=None):
        identity = identity or Identity.of(small_workload(FILES))
        own = root.child(Identity.of(small_workload(FILES)).folder)
        with open_store(own) as store:
            journal = Journal(store, identity)
            for entry in entries:
                journal.note(entry)
                journal.flush()
        return own

    return write


@pytest.fixture
def whole(small_workload, root):
    """Return a folder with a data set whose manifest has gone, and the entries of it."""
    made, _, _ = prepared(small_workload(FILES), root)
    folder = made.location.path
    lines = (folder / "files.tsv").read_text().splitlines()
    (folder / "dataset.json").unlink()
    (folder / "files.tsv").unlink()
    return folder, [FileEntry.from_line(line) for line in lines]


@pytest.mark.parametrize("how", ["cut", "longer", "gone"])
def test_a_file_that_is_not_as_the_journal_says_is_made_again(
    small_workload, root, whole, journal_of, how
):
    folder, entries = whole
    journal_of(entries[:30])
    victim = folder / entries[7].key
    content = victim.read_bytes()
    if how == "gone":
        victim.unlink()
    else:
        victim.write_bytes(content[:-1] if how == "cut" else content + b"x")
    _, lines, _ = prepared(small_workload(FILES), root)
    assert "resuming: 29 of 154 files are there" in lines
    assert victim.read_bytes() == content


def test_the_journal_of_another_data_set_is_ignored(small_workload, root, whole, journal_of):
    folder, entries = whole
    own = journal_of(entries, identity=Identity.of(small_workload("dataset.num_files_train=61")))
    before = changes(own)
    _, lines, _ = prepared(small_workload(FILES), root)
    assert not any("resuming" in line for line in lines)
    after = changes(own)
    assert before.keys() == after.keys()
    assert not set(before.values()) & set(after.values())
    assert journal_parts(own) == []
    assert {path.name for path in folder.iterdir()} == {
        "dataset.json",
        "files.tsv",
        "train",
        "valid",
    }


@pytest.mark.parametrize("how", ["bit", "cut", "empty", "binary", "other name"])
def test_a_damaged_part_of_the_journal_is_ignored(small_workload, root, whole, journal_of, how):
    folder, entries = whole
    journal_of(entries[:10])
    part = sorted((folder / "journal").rglob("*.tsv"))[3]
    content = bytearray(part.read_bytes())
    content[-10] ^= 1
    if how == "other name":
        part.rename(part.with_name("notes.txt"))
    else:
        part.write_bytes(
            {"bit": content, "cut": content[:50], "empty": b""}.get(how, b"\xff\n\xfe")
        )
    _, lines, _ = prepared(small_workload(FILES), root)
    assert "resuming: 9 of 154 files are there" in lines
    with open_dataset(small_workload(FILES), root):
        pass


def test_repairing_makes_what_is_missing_alone(small_workload, root):
    made, _, _ = prepared(small_workload(FILES), root)
    victim = sorted(made.location.path.rglob("*.npz"))[5]
    victim.unlink()
    before = changes(made.location)
    again, lines, _ = prepared(small_workload(FILES), root)
    assert again.generated
    assert "resuming: 153 of 154 files are there" in lines
    after = changes(made.location)
    assert {key: after[key] for key in before} == before
    assert again.manifest.content_digest == made.manifest.content_digest


def test_space_is_wanted_for_what_is_missing_alone(
    small_workload, root, whole, journal_of, monkeypatch
):
    folder, entries = whole
    few_bytes = 2 * sum(entry.size_bytes for entry in entries[150:])
    monkeypatch.setattr(FileStore, "free_bytes", lambda _self: few_bytes)
    with pytest.raises(StorageFault, match="not enough space: the data set needs"):
        prepared(small_workload(FILES), root)
    journal_of(entries[:150])
    prepared(small_workload(FILES), root)
    assert (folder / "dataset.json").exists()

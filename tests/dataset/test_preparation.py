"""A data set is generated once, found again by what fixes its bytes, and verified."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import xxhash
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from hypothesis import given
from hypothesis import strategies as st

from cm4storage.core.errors import StorageFault, UserError
from cm4storage.core.progress import NoProgress
from cm4storage.dataset.contents import SPAN_BYTES, FileContent
from cm4storage.dataset.identity import Identity
from cm4storage.dataset.opening import open_dataset
from cm4storage.dataset.placement import at_root
from cm4storage.dataset.preparation import prepare
from cm4storage.dataset.verdict import verify_contents
from cm4storage.workload.plan import Plan, PlannedFile, Split


def prepare_quietly(workload, root, **options):
    return prepare(workload, root, NoProgress(), lambda _line: None, **options)


def files_below(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_generated_once_and_then_found(small_workload, root):
    first = prepare_quietly(small_workload(), root)
    before = {path: path.stat().st_mtime_ns for path in root.path.rglob("*")}
    second = prepare_quietly(small_workload(), root)
    assert (first.generated, second.generated) == (True, False)
    assert second.manifest == first.manifest
    assert "10 files verified by name and size" in second.reason
    assert {path: path.stat().st_mtime_ns for path in root.path.rglob("*")} == before


def test_a_changed_key_gives_a_new_data_set_and_is_named(small_workload, root):
    prepare_quietly(small_workload(), root)
    changed = prepare_quietly(small_workload("dataset.num_files_train=12"), root)
    assert changed.reason == "dataset.num_files_train changed 10 -> 12"


@pytest.mark.parametrize(
    "params",
    ["train.epochs=5", "reader.read_threads=1", "reader.batch_size=5", "train.seed=9",
     "dataset.record_length_bytes_resize=100", "train.computation_time=1"],
)  # fmt: skip
def test_what_does_not_fix_bytes_is_not_part_of_the_identity(small_workload, params):
    assert Identity.of(small_workload(params)).digest == Identity.of(small_workload()).digest


@pytest.mark.parametrize(
    "params",
    ["dataset.num_files_train=11", "dataset.num_files_eval=1", "dataset.num_samples_per_file=2",
     "dataset.record_length_bytes=5001", "dataset.record_length_bytes_stdev=901",
     "dataset.file_prefix=pic", "dataset.num_subfolders_train=2", "dataset.format=tfrecord"],
)  # fmt: skip
def test_what_fixes_bytes_is_part_of_the_identity(small_workload, params):
    assert Identity.of(small_workload(params)).digest != Identity.of(small_workload()).digest


def test_the_identity_never_changes_by_accident(small_workload):
    """A new value here means that every data set of every user is generated anew."""
    assert Identity.of(small_workload()).folder == "unet3d-105b7f83d5d3"


@pytest.mark.parametrize("name", ["npz", "tfrecord"])
def test_bytes_do_not_depend_on_threads(small_workload, root, name):
    workload = small_workload(f"dataset.format={name} dataset.num_samples_per_file=3")
    made = [
        prepare_quietly(workload, root.child(f"threads-{threads}"), threads=threads)
        for threads in (1, 2, 4)
    ]
    one, *others = (files_below(each.location.path / "train") for each in made)
    assert len(one) == 10
    assert all(other == one for other in others)
    assert len({each.manifest.content_digest for each in made}) == 1


def test_bytes_do_not_depend_on_the_backend(small_workload, place):
    """A new value here means that the same data set has other bytes than before."""
    made = prepare_quietly(small_workload(), place, threads=3)
    assert made.manifest.content_digest == "bff588becb3f6d4d3fb6c2dd22006009"


@pytest.mark.parametrize("size", [1, 4095, 4096, 4097, 70_000])
def test_a_data_set_may_lie_directly_in_the_folder_named(small_workload, root, size):
    params = f"dataset.record_length_bytes={size} dataset.record_length_bytes_stdev=0"
    workload = small_workload(params)
    made = prepare_quietly(workload, root, placement=at_root)
    assert made.location == root
    assert sum(1 for _ in (root.path / "train").glob("*.npz")) == 10
    assert not prepare_quietly(workload, root, placement=at_root).generated
    with open_dataset(workload, root, at_root) as dataset:
        assert not verify_contents(dataset.store, dataset.manifest, NoProgress(), 2).problems
    other = small_workload(params + " dataset.num_files_train=12")
    reason = "dataset.num_files_train changed 10 -> 12"
    with pytest.raises(UserError, match=reason), open_dataset(other, root, at_root):
        pass
    assert prepare_quietly(other, root, placement=at_root).reason == reason


def test_the_contents_never_change_by_accident():
    buffer = bytearray(3 * 2**20)
    file = PlannedFile(Split.TRAIN, 7, "x", (1, 1), 1)
    FileContent(file).fill(memoryview(buffer))
    assert xxhash.xxh3_128_hexdigest(buffer) == "91368da69ef3a0a74060655a28a4c5bb"


def counter_mode(file, start, size):
    """Return what content version 1 is by its definition."""
    key = hashlib.sha256(b"cm4storage content 1 seed 10").digest()[:16]
    split = {Split.TRAIN: 0, Split.EVAL: 1}[file.split]
    counter = split * 2**120 + file.index * 2**64 + start // 16
    return Cipher(AES(key), CTR(counter.to_bytes(16, "big"))).encryptor().update(bytes(size))


@pytest.mark.parametrize("split", Split)
@pytest.mark.parametrize("start", [0, 16, 32, 48, SPAN_BYTES - 48, SPAN_BYTES, 5 * SPAN_BYTES + 16])
def test_contents_are_aes_in_counter_mode_from_any_block_on(split, start):
    file, buffer = PlannedFile(split, 12, "x", (1, 1), 1), bytearray(3 * 2**20 + 5)
    content = FileContent(file, start=start)
    for at in range(0, len(buffer), 700_001):
        content.fill(memoryview(buffer)[at : at + 700_001])
    assert buffer == counter_mode(file, start, len(buffer))


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=20))
def test_contents_do_not_depend_on_how_they_are_asked_for(sizes):
    file = PlannedFile(Split.EVAL, 3, "x", (1, 1), 1)
    whole, parts, content = bytearray(sum(sizes)), b"", FileContent(file)
    FileContent(file).fill(memoryview(whole))
    for size in sizes:
        part = bytearray(size)
        content.fill(memoryview(part))
        parts += bytes(part)
    assert parts == whole


def test_numpy_opens_every_file_and_they_all_differ(small_workload, root):
    prepared = prepare_quietly(small_workload(), root)
    shapes, digests = [], set()
    for path in sorted(prepared.location.path.rglob("*.npz")):
        array = np.load(path)["x"]
        shapes.append(array.shape[:2])
        digests.add(xxhash.xxh3_64_intdigest(array.tobytes()))
    assert shapes == [f.record_shape for f in Plan.of(small_workload()).files()]
    assert len(digests) == 10


def test_the_manifest_says_what_is_there(small_workload, root):
    prepared = prepare_quietly(small_workload("dataset.num_subfolders_train=3"), root)
    folder = prepared.location.path
    lines = [line.split("\t") for line in (folder / "files.tsv").read_text().splitlines()]
    assert [line[0] for line in lines] == sorted(line[0] for line in lines)
    for key, size, digest in lines:
        data = (folder / key).read_bytes()
        assert (len(data), xxhash.xxh3_128_hexdigest(data)) == (int(size), digest)
    summary = json.loads((folder / "dataset.json").read_text())
    assert summary["files"] == len(lines) == 10
    assert summary["total_bytes"] == sum(int(line[1]) for line in lines)


def damage(folder, how):
    victim = sorted(folder.rglob("*.npz"))[4]
    if how == "missing":
        victim.unlink()
    elif how == "cut":
        os.truncate(victim, 100)
    else:
        data = bytearray(victim.read_bytes())
        data[300] ^= 1
        victim.write_bytes(data)
    return victim


@pytest.mark.parametrize("how", ["missing", "cut"])
def test_a_damaged_data_set_is_refused_by_a_run_and_repaired_by_generation(
    small_workload, root, how
):
    workload = small_workload()
    prepared = prepare_quietly(workload, root)
    victim = damage(prepared.location.path, how)
    with pytest.raises(StorageFault, match=victim.name), open_dataset(workload, root):
        pass
    again = prepare_quietly(workload, root)
    assert again.generated
    assert f"damaged (train/{victim.name}" in again.reason
    assert again.manifest.content_digest == prepared.manifest.content_digest


@pytest.mark.parametrize("how", ["missing", "cut", "edited", "binary", "no summary"])
def test_a_damaged_manifest_is_repaired_by_generation(small_workload, root, how):
    workload = small_workload()
    prepared = prepare_quietly(workload, root)
    files, summary = (prepared.location.path / name for name in ("files.tsv", "dataset.json"))
    if how == "missing":
        files.unlink()
    elif how == "cut":
        files.write_text(files.read_text()[:100])
    elif how == "edited":
        files.write_text(files.read_text().replace("a", "b", 1))
    elif how == "binary":
        files.write_bytes(b"\xff\xfe\x00\n")
    else:
        summary.write_text("{")
    with pytest.raises(StorageFault, match="generate"), open_dataset(workload, root):
        pass
    again = prepare_quietly(workload, root)
    assert again.generated
    assert again.manifest.content_digest == prepared.manifest.content_digest
    with open_dataset(workload, root):
        pass


def test_a_flipped_bit_is_found_when_contents_are_checked(small_workload, root):
    workload = small_workload()
    prepared = prepare_quietly(workload, root)
    victim = damage(prepared.location.path, "flipped")
    with open_dataset(workload, root) as dataset:
        (problem,) = verify_contents(dataset.store, dataset.manifest, NoProgress(), 2).first
    assert problem.key == f"train/{victim.name}"


def test_not_enough_space_is_said_before_the_first_byte(small_workload, root):
    workload = small_workload("dataset.num_files_train=100000 dataset.record_length_bytes=1e12")
    with pytest.raises(StorageFault, match="not enough space: the data set needs"):
        prepare_quietly(workload, root)
    assert not [path for path in root.path.rglob("*") if path.suffix == ".npz"]


def test_a_failing_store_leaves_no_manifest(small_workload, root):
    workload = small_workload()
    blocked = root.child(Identity.of(workload).folder).path / "train"
    blocked.parent.mkdir(parents=True)
    blocked.write_text("a file where a folder is needed")
    with pytest.raises(StorageFault, match="train"):
        prepare_quietly(workload, root)
    assert not (blocked.parent / "dataset.json").exists()


def test_two_at_once_generate_once(small_workload, root):
    workload, outcomes = small_workload("dataset.num_files_train=200"), []
    threads = [
        threading.Thread(target=lambda: outcomes.append(prepare_quietly(workload, root)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcome.generated for outcome in outcomes) == [False, False, False, True]


KILLED_GENERATION = """
import os, sys, threading, time
from cm4storage.core.progress import NoProgress
from cm4storage.dataset.preparation import prepare
from cm4storage.storage.location import StoreLocation
from cm4storage.workload.resolve import Request, resolve

class KillAfter(NoProgress):
    done = 0
    def advance(self, units, detail=""):
        KillAfter.done += 1
        if KillAfter.done == int(sys.argv[2]):
            os.kill(os.getpid(), 9)

workload = resolve(Request(params=sys.argv[3])).workload
prepare(workload, StoreLocation.parse(sys.argv[1]), KillAfter(), print)
"""


@pytest.mark.parametrize("parts", [1, 12, 27])
def test_a_killed_generation_leaves_nothing_that_counts(small_workload, small_params, root, parts):
    command = [sys.executable, "-c", KILLED_GENERATION, str(root.path), str(parts), small_params]
    assert subprocess.run(command, check=False).returncode == -9
    again = prepare_quietly(small_workload(), root)
    assert again.generated
    folder = again.location.path
    assert sum(1 for path in folder.rglob("*.npz")) == 10
    with open_dataset(small_workload(), root) as dataset:
        assert not verify_contents(dataset.store, dataset.manifest, NoProgress(), 2).problems


def test_both_folders_are_there_though_one_is_empty(small_workload, root):
    """DLIO lists ``valid`` before it trains, and fails where it is missing."""
    data = prepare_quietly(small_workload(), root).location.path
    assert sorted(path.name for path in data.iterdir() if path.is_dir()) == ["train", "valid"]

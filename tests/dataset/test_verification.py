"""``cm4storage verify``: what is wrong with a data set, as users see it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cm4storage.core.errors import StorageFault, UserError
from cm4storage.core.progress import NoProgress
from cm4storage.dataset.manifest import FileEntry
from cm4storage.dataset.opening import open_dataset
from cm4storage.dataset.preparation import prepare
from cm4storage.dataset.verdict import verify_contents
from cm4storage.dataset.verification import Sample
from cm4storage.storage.folders.file import FileStore

FILES = "dataset.num_files_train=40 dataset.num_files_eval=2"


@pytest.fixture
def verify(tmp_path, small_params):
    """Return a function that runs ``cm4storage verify`` on a data set that was generated."""
    command = [sys.executable, "-m", "cm4storage"]

    def run(verb, *args):
        return subprocess.run(
            [*command, verb, *args], cwd=tmp_path, capture_output=True, text=True, check=False
        )

    run("workload", f"--params={small_params} {FILES}", "--out=w.json")
    options = ["--workload=w.json", "--data_dir=data"]
    assert run("generate", *options, "--threads=1").returncode == 0
    return lambda *args: run("verify", *options, *args)


@pytest.fixture
def files(verify, tmp_path):
    """Return the files of the data set in order, training files first."""
    del verify
    return sorted((tmp_path / "data").rglob("*.npz"))


def test_names_and_sizes_alone_read_no_file(verify, files):
    files[0].write_bytes(bytes(files[0].stat().st_size))
    done = verify()
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(": 42 files are as the manifest says\n")


@pytest.mark.parametrize(
    ("how", "kind"),
    [("gone", "missing"), ("cut", "size"), ("flipped", "content"), ("other", "foreign")],
)
def test_each_problem_is_named_with_its_kind(verify, files, tmp_path, how, kind):
    victim = files[20]
    if how == "gone":
        victim.unlink()
    elif how == "cut":
        victim.write_bytes(victim.read_bytes()[:-1])
    elif how == "flipped":
        content = bytearray(victim.read_bytes())
        content[300] ^= 1
        victim.write_bytes(content)
    else:
        victim = victim.with_name("img_00a_of_40.npz")
        shutil.copy(files[20], victim)
    done = verify("--contents", "--result_file=out.json", "--json")
    assert done.returncode == 3
    key = f"train/{victim.name}"
    assert f"1 problem in the data set: 1 {kind}" in done.stderr
    assert f"{key}: " in done.stderr
    outcome = json.loads(done.stdout)
    assert outcome == json.loads((tmp_path / "out.json").read_text())
    assert outcome["by_kind"] == {kind: 1}
    assert [(p["key"], p["kind"]) for p in outcome["first_problems"]] == [(key, kind)]


@pytest.mark.parametrize("folder", ["train", "valid", "index", "train/deep/er"])
def test_foreign_files_are_found_and_do_not_hinder_a_run(verify, files, small_workload, folder):
    place = files[0].parent.parent / folder
    place.mkdir(parents=True, exist_ok=True)
    (place / "zzz").write_text("x")
    (place / "000").write_text("x")
    done = verify()
    assert done.returncode == 3
    assert f"{folder}/000: foreign" in done.stderr
    assert f"{folder}/zzz: foreign" in done.stderr
    assert "2 problems in the data set: 2 foreign" in done.stderr
    root = files[0].parents[2]
    with open_dataset(small_workload(FILES), location(root)):
        pass


def location(path):
    from cm4storage.storage.location import StoreLocation

    return StoreLocation.parse(str(path))


def test_many_problems_are_counted_and_the_first_shown(verify, files):
    for file in files:
        file.unlink()
    done = verify("--contents")
    assert done.returncode == 3
    assert "42 problems in the data set: 42 missing" in done.stderr
    assert files[0].name in done.stderr
    assert "and 22 more" in done.stderr


def test_a_sample_says_its_seed_and_is_the_same_with_it(verify):
    first = verify("--sample=10%", "--json")
    assert first.returncode == 0, first.stderr
    outcome = json.loads(first.stdout)
    assert (outcome["files"], outcome["read_files"], outcome["sample"]["count"]) == (42, 4, 4)
    again = json.loads(verify("--sample=4", f"--sample_seed={outcome['sample']['seed']}",
                              "--json").stdout)  # fmt: skip
    assert again == outcome
    said = verify("--sample=4", "--sample_seed=7").stdout
    assert "the contents of 4 files" in said
    assert "a sample with seed 7" in said
    assert json.loads(verify("--contents", "--json").stdout)["read_files"] == 42


@pytest.mark.parametrize("text", ["0", "0%", "101%", "1.5", "-1", "many", "%", "nan", ""])
def test_what_is_no_sample_is_refused(text):
    with pytest.raises(UserError, match="is no sample"):
        Sample.parse(text, 100, 0)


@given(st.integers(1, 200), st.integers(1, 200), st.integers(0, 2**32))
def test_a_sample_has_its_size_and_keeps_the_order(files, count, seed):
    entries = [FileEntry(f"{number:04d}", 1, "") for number in range(files)]
    sample = Sample.parse(str(count), files, seed)
    chosen = [entry.key for entry in sample.choose(entries, files)]
    assert len(chosen) == min(count, files)
    assert chosen == sorted(set(chosen))
    assert chosen == [entry.key for entry in sample.choose(entries, files)]


def test_different_seeds_reach_all_files():
    entries = [FileEntry(f"{number}", 1, "") for number in range(10)]
    reached = {e.key for seed in range(200) for e in Sample(1, seed).choose(entries, 10)}
    assert len(reached) == 10


def test_an_unreadable_file_is_a_problem_and_a_dead_store_an_error(
    small_workload, root, monkeypatch
):
    workload = small_workload(FILES)
    prepare(workload, root, NoProgress(), lambda _line: None)
    read = FileStore.read

    def refuse(self, key, **options):
        if key.endswith("img_07_of_40.npz"):
            raise StorageFault("cannot open the object: Permission denied", where=key)
        return read(self, key, **options)

    monkeypatch.setattr(FileStore, "read", refuse)
    with open_dataset(workload, root) as dataset:
        verdict = verify_contents(dataset.store, dataset.manifest, NoProgress(), 4)
        assert verdict.by_kind == {"unreadable": 1}
        assert verdict.read_files == 42
        with pytest.raises(StorageFault, match="Permission denied"):
            verdict.require_good()

        def gone(_self, key):
            raise StorageFault("the file server does not answer", where=key)

        monkeypatch.setattr(FileStore, "stat", gone)
        with pytest.raises(StorageFault, match="does not answer"):
            verify_contents(dataset.store, dataset.manifest, NoProgress(), 4)


def test_an_unfinished_data_set_is_said_to_be_one(verify, files):
    folder = files[0].parents[1]
    (folder / "dataset.json").unlink()
    done = verify()
    assert done.returncode == 1
    assert "does not exist yet" in done.stderr

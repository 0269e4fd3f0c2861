"""``cm4storage run --on_error=skip``: what is missing, cut or changed is skipped, and counted."""

from __future__ import annotations

import json

import pytest


def spoil(folder):
    """Remove one file, cut one, empty one, and flip a bit of another."""
    missing, cut, empty, flipped = sorted((folder / "train").iterdir())[1:5]
    missing.unlink()
    cut.write_bytes(cut.read_bytes()[:-100])
    empty.write_bytes(b"")
    data = bytearray(flipped.read_bytes())
    data[len(data) // 2] ^= 8
    flipped.write_bytes(data)


@pytest.mark.parametrize("whose", ["ours", "foreign"])
@pytest.mark.parametrize("cold", [[], ["--cold"]])
def test_bad_files_of_any_kind_are_skipped(cm4storage, workload_file, tmp_path, whose, cold):
    params = "train.epochs=1 reader.file_shuffle=off reader.read_threads=2"
    workload = f"--workload={workload_file(params)}"
    assert cm4storage("generate", workload, "--data_dir=data").returncode == 0
    (folder,) = (tmp_path / "data").glob("unet3d-*")
    options = [workload, "--data_dir=data", "--result_file=result.json", *cold]
    if whose == "foreign":
        (folder / "dataset.json").unlink()
        (folder / "files.tsv").unlink()
        options[1:2] = [f"--data_dir={folder}", "--foreign"]
    spoil(folder)
    assert cm4storage("run", *options).returncode != 0
    done = cm4storage("run", *options, "--on_error=skip")
    assert done.returncode == 0, done.stderr
    assert "4 files skipped" in done.stderr
    run = json.loads((tmp_path / "result.json").read_text())["run_dir"]
    assert cm4storage("report", run).returncode == 0
    report = json.loads((tmp_path / run / "report.json").read_text())
    assert report["skipped_files"] == 4
    assert report["not_comparable_because"][-1] == "4 files skipped"
    assert report["total_bytes"] > 0


def test_a_folder_without_any_file_is_no_data_set(cm4storage, workload_file, tmp_path):
    workload = f"--workload={workload_file()}"
    (tmp_path / "empty" / "train").mkdir(parents=True)
    done = cm4storage("run", workload, "--data_dir=empty", "--foreign", "--on_error=skip")
    assert done.returncode == 1
    assert "there is no file in train" in done.stderr


def test_the_part_that_failed_is_named(cm4storage, workload_file, tmp_path):
    text = "class Mine:\n    def __init__(self, _):\n        pass\n"
    text += "    def decode(self, source):\n        return [][0]\n"
    (tmp_path / "mine.py").write_text(text, encoding="ascii")
    workload = f"--workload={workload_file('reader.reader_classname=mine.Mine')}"
    assert cm4storage("generate", workload, "--data_dir=data").returncode == 0
    done = cm4storage("run", workload, "--data_dir=data", env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode != 0
    assert "IndexError" in done.stderr
    assert "mine.py, line 5, in decode" in done.stderr
    assert "a part of your own raised this" in done.stderr
    assert "defect" not in done.stderr

"""Today's code gives what the reference reports say, and a change on purpose is seen."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from finished_runs import PARAMS

from cm4storage.loader.order import RunOrder
from cm4storage.results.comparing.rules import DEFAULT_FILE

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "goldens"
NAMES = {"unet3d", "bert", "resnet50", "cosmoflow", "llama3_8b"}
CHEAP = "bert"
CHECKPOINTS = "llama3_8b"


@pytest.fixture
def copy(tmp_path):
    """Return a copy of the goldens, to be changed."""
    return shutil.copytree(FOLDER, tmp_path / "goldens")


def change(folder, act, name=CHEAP):
    """Change the document of a golden; without a name of that which is cheap to run."""
    path = folder / f"{name}.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    act(document)
    path.write_text(json.dumps(document), encoding="utf-8")


def test_all_are_there_and_the_rules_are_those_of_the_package():
    assert {path.stem for path in FOLDER.glob("*.json")} >= {*NAMES, "tolerance"}
    assert (FOLDER / "tolerance.json").read_bytes() == DEFAULT_FILE.read_bytes()


def test_todays_code_gives_what_they_say(cm4storage_of, capsys):
    code = cm4storage_of(["goldens", "--check", "--mode=development", f"--goldens_dir={FOLDER}"])
    out = capsys.readouterr().out
    assert code == 0, out
    count = len(list(FOLDER.glob("*.json"))) - 1
    assert (out.count("same: 0 improved"), out.count(", 0 cannot tell")) == (count, count)


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (lambda d: d["report"].update(total_bytes=d["report"]["total_bytes"] + 1), "total_bytes: "),
        (lambda d: d["report"].update(access_order_digest="0" * 64), "access_order_digest: "),
        (lambda d: d["report"]["access_order_sample"].reverse(), "access_order_sample: "),
        (lambda d: d["report"]["data_set"].update(total_bytes=1), "data_set.total_bytes: "),
        (lambda d: d["report"]["data_set"].update(content_digest="0"), "data_set.content_digest: "),
        (lambda d: d["report"]["epochs"][0].update(steps=1), "epochs.*.steps: "),
        (lambda d: d["report"].update(version=0), "version: "),
        (lambda d: d["report"].update(workload_digest="0" * 64), "makes another workload"),
        (lambda d: d["fields"].append("p42_latency_ms"), "no p42_latency_ms any more"),
    ],
)
def test_a_change_on_purpose_is_red(copy, cm4storage_of, capsys, act, says):
    change(copy, act)
    words = ["goldens", "--check", f"--only={CHEAP}", f"--goldens_dir={copy}", "--mode=development"]
    assert cm4storage_of(words) == 4
    assert says in capsys.readouterr().out


@pytest.fixture
def own(tmp_path, cm4storage_of):
    """Return a folder with a golden of one's own, which takes next to no time."""
    folder = tmp_path / "own"
    folder.mkdir()
    request = {
        "kind": "training", "workload": "unet3d_h100", "scale": "quick", "params": PARAMS
    }  # fmt: skip
    document = {"schema": "cm4storage.golden", "version": 1, "request": request}
    (folder / "mine.json").write_text(json.dumps(document), encoding="utf-8")
    assert cm4storage_of(["goldens", "--write", f"--goldens_dir={folder}", "--repeat=2"]) == 0
    return folder


def test_another_order_of_a_later_epoch_is_red(own, cm4storage_of, capsys, monkeypatch):
    words = ["goldens", "--check", f"--goldens_dir={own}", "--mode=development"]
    assert cm4storage_of(words) == 0
    order_of = RunOrder.epoch
    monkeypatch.setattr(RunOrder, "epoch", lambda orders, _number: order_of(orders, 1))
    capsys.readouterr()
    assert cm4storage_of(words) == 4
    assert "access_order_digest: " in capsys.readouterr().out


def test_a_change_of_checkpoints_is_red(copy, cm4storage_of, capsys):
    def act(document):
        report = document["report"]
        report["layout"]["model_bytes"] += 1
        report["save_count"] += 1
        report["layout"]["files"] -= 1
        report["save_checkpoints"][1]["stored_bytes"] += 1
        report["save_checkpoints"][0]["content_digest"] = "0" * 32
        report["load_checkpoints"].pop()
        document["fields"].append("save_p42_latency_ms")

    change(copy, act, CHECKPOINTS)
    words = ["goldens", "--check", f"--only={CHECKPOINTS}", f"--goldens_dir={copy}"]
    assert cm4storage_of([*words, "--mode=development"]) == 4
    said = capsys.readouterr().out
    for name in (
        "layout.model_bytes", "save_count", "layout.files", "save_checkpoints.*.stored_bytes",
        "save_checkpoints.*.content_digest", "load_checkpoints.*.number",
    ):  # fmt: skip
        assert f"{name}: " in said
    assert "no save_p42_latency_ms any more" in said
    assert "18 same, 9 worse" in said


def test_times_count_on_the_machine_of_the_golden_alone(copy, cm4storage_of, capsys):
    def as_if_measured_elsewhere(document):
        document["report"]["host"]["hostname"] = "elsewhere"
        document["figures"]["throughput_samples_per_sec"] = [1e9] * 5

    change(copy, as_if_measured_elsewhere)
    words = ["goldens", "--check", f"--only={CHEAP}", f"--goldens_dir={copy}"]
    assert cm4storage_of([*words, "--mode=standard", "--repeat=1"]) == 0
    out = capsys.readouterr().out
    assert "another machine: elsewhere" in out
    assert "15 cannot tell" in out


def test_a_time_decides_only_where_one_asks_for_it(own, cm4storage_of, capsys):
    def as_if_fast(document):
        document["figures"]["throughput_samples_per_sec"] = [1e9] * 2

    change(own, as_if_fast, "mine")
    words = ["goldens", "--check", f"--goldens_dir={own}"]
    capsys.readouterr()
    assert cm4storage_of(words) == 0
    assert "figures of time are left out" in capsys.readouterr().err
    assert cm4storage_of([*words, "--mode=standard", "--out=json", "-q"]) == 4
    [found] = json.loads(capsys.readouterr().out)["goldens"]
    assert (found["name"], found["green"]) == ("mine", False)
    assert found["comparison"]["runs"] == {"baseline": 2, "new": 3}
    by_field = {each["field"]: each["verdict"] for each in found["comparison"]["figures"]}
    assert by_field["throughput_samples_per_sec"] == "worse"
    assert "peak_memory_bytes" not in by_field  # of a process that has run others before


def test_a_lost_figure_is_red(own, cm4storage_of, capsys):
    change(own, lambda d: d["figures"].update(checkpoint_stall_mean_s=[1.0, 1.0]), "mine")
    words = ["goldens", "--check", f"--goldens_dir={own}", "--mode=relaxed", "--repeat=1"]
    assert cm4storage_of(words) == 4
    assert "does not tell: checkpoint_stall_mean_s" in capsys.readouterr().out


def test_runs_that_differ_make_no_golden(own, cm4storage_of, capsys):
    def as_if_new(document):
        document["request"]["params"] += " reader.file_shuffle=random"

    path = own / "mine.json"
    change(own, as_if_new, "mine")
    before = path.read_bytes()
    assert cm4storage_of(["goldens", "--write", f"--goldens_dir={own}", "--repeat=2"]) == 1
    assert "runs of the same request differ in access_order_digest" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_writing_shows_the_difference_and_leaves_mere_times_alone(copy, cm4storage_of, capsys):
    path = copy / f"{CHEAP}.json"
    before = path.read_bytes()
    words = ["goldens", "--write", f"--only={CHEAP}", f"--goldens_dir={copy}", "--repeat=2"]
    assert cm4storage_of(words) == 0
    assert capsys.readouterr().out == "bert: unchanged\n"
    assert path.read_bytes() == before
    change(copy, lambda document: document["report"].update(total_bytes=1))
    assert cm4storage_of(words) == 0
    out = capsys.readouterr().out
    assert '-  "total_bytes": 1,' in out
    assert '+  "total_bytes": 980' in out
    written = json.loads(path.read_text(encoding="utf-8"))
    assert written["report"] | {"host": 0} == json.loads(before)["report"] | {"host": 0}
    assert len(written["figures"]["throughput_samples_per_sec"]) == 2


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (lambda d: d.update(version=2), "the golden has version 2"),
        (lambda d: d["request"].pop("params"), "the golden lacks 'params'"),
        (lambda d: d["request"].update(kind="dance"), "there is no kind dance"),
        (lambda d: d.pop("report"), "the golden has no report yet"),
        (lambda d: d["figures"].update(read_mib_per_s=[1]), "the golden is damaged: its figures"),
        (lambda d: d.update(figures=[]), "the golden is damaged: its figures"),
        (lambda d: d.update(fields=[1]), "the golden is damaged: its fields"),
        (lambda d: d.update(report="green"), "the golden is damaged: its report"),
        (lambda d: d["request"].update(params=3), "the golden is damaged: its request"),
        (lambda d: d["report"].update(host="vm"), "host is not an object"),
    ],
)
def test_a_damaged_golden_is_refused(copy, cm4storage_of, capsys, act, says):
    change(copy, act)
    assert cm4storage_of(["goldens", "--check", f"--only={CHEAP}", f"--goldens_dir={copy}"]) == 1
    assert says in capsys.readouterr().err
    assert cm4storage_of(["goldens", "--check", "--only=gpt", f"--goldens_dir={copy}"]) == 2


def test_a_golden_is_a_baseline(cm4storage_of, run_folder, capsys):
    assert cm4storage_of(["compare", str(FOLDER / "unet3d.json"), str(run_folder)]) == 5
    assert "baseline of 5 runs, compared with 1 run" in capsys.readouterr().out

"""Checkpoints by the command line: planned, run, reported, and as dlio_benchmark is called."""

from __future__ import annotations

import json

import pytest

SMALL = (
    "model.num_layers=1 model.transformer.hidden_size=64 model.transformer.ffn_hidden_size=64 "
    "model.transformer.vocab_size=64 checkpoint.num_checkpoints_write=1 "
    "checkpoint.num_checkpoints_read=1 checkpoint.time_between_checkpoints=0"
)


@pytest.fixture
def workload(cm4storage):
    """Return a function from a stock model and overrides to a workload file."""

    def make(model, params="", scale="stock"):
        done = cm4storage(
            "workload", f"--model={model}", f"--scale={scale}", f"--params={params}", "--out=w.json"
        )
        assert done.returncode == 0, done.stderr
        return "--workload=w.json"

    return make


def test_a_plan_shows_all_sizes_and_writes_nothing(cm4storage, workload, tmp_path):
    file = workload("llama3_405b")
    done = cm4storage("checkpoint", file, "--plan", "--result_file=plan.json")
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["all", "512", "756.0149", "4,536.2338", "5,292.2487", "1,544"] in lines
    alike = ["256", "to", "511", "0.0000", "each", *["8.8598", "each"] * 2, "1", "each"]
    assert alike in lines
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert len(plan["ranks"]) == 512
    in_all = sum(rank["total_bytes"] for rank in plan["ranks"])
    assert in_all == plan["needs"]["checkpoint_bytes"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plan.json", "w.json"]


def test_a_run_is_shown_kept_and_reported_again(cm4storage, workload, tmp_path):
    file = workload("llama3_8b", SMALL)
    options = ["--ranks=2", "--checkpoint_dir=kept", "--result_file=r.json"]
    done = cm4storage("checkpoint", file, *options)
    assert done.returncode == 0, done.stderr
    title = "llama_8b checkpoints on file, 2 ranks  [not comparable: 2 ranks in place of 8, "
    assert done.stdout.startswith(title)
    for text in ("write, slowest rank", "read, as DLIO (rank 0)", "each file was synced"):
        assert text in done.stdout
    assert "done after" in done.stderr
    result = json.loads((tmp_path / "r.json").read_text())
    folder = result["run_dir"]
    assert result["report_html"] == f"{folder}/report.html"
    assert f"page      {folder}/report.html" in done.stdout
    assert folder.startswith(str(tmp_path / "results" / "checkpointing" / "llama_8b"))
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["global_epoch1_step1"]
    again = cm4storage("report", folder, "--rerun_command=again")
    assert again.returncode == 0, again.stderr
    assert again.stdout.splitlines()[:-1] == done.stdout.splitlines()[:-1]
    assert again.stdout.endswith("run again again\n")
    assert "<code>again</code>" in (tmp_path / result["report_html"]).read_text()
    as_json = cm4storage("report", folder, "--out=json", "--quiet")
    assert json.loads(as_json.stdout)["schema"] == "cm4storage.checkpoint_report"
    assert as_json.stderr == ""
    folders = {path.name for path in (tmp_path / "results").rglob("*_metadata.json")}
    assert len(folders) == 1


def test_the_workload_names_the_folder_unless_the_user_does(cm4storage, workload, tmp_path):
    file = workload("llama3_8b", f"{SMALL} checkpoint.checkpoint_folder=named/by/yaml")
    assert cm4storage("checkpoint", file, "--ranks=1", "-q").returncode == 0
    assert len(list((tmp_path / "named/by/yaml/global_epoch1_step1").iterdir())) == 2


@pytest.mark.parametrize(
    ("params", "options", "message"),
    [
        ("", ["--ranks=3"], "possible are multiples of 8: 8, 16, 24, ..."),
        ("", ["--ranks=0"], "must be a whole number of at least 1"),
        ("workflow.train=true", [], "set them: --params="),
        ("checkpoint.mode=subset", [], "set model.parallelism.data=8"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is_made(
    cm4storage, tmp_path, params, options, message
):
    words = ["--model=llama3_70b", "--scale=stock", f"--params={params}", "--out=w.json"]
    done = cm4storage("workload", *words)
    if done.returncode == 0:
        done = cm4storage("checkpoint", "--workload=w.json", *options)
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert {path.name for path in tmp_path.iterdir()} <= {"w.json"}


def test_the_command_line_of_dlio_runs_it(cm4storage, tmp_path):
    words = [f"++workload.{each}" for each in [*SMALL.split(), "model.parallelism.tensor=2"]]
    done = cm4storage(
        "dlio", "workload=llama_7b", *words, "++workload.checkpoint.checkpoint_folder=ck",
        "++hydra.run.dir=out", "++hydra.output_subdir=dlio_config",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "llama_7b checkpoints on file, 2 ranks" in done.stdout
    out = {path.name for path in (tmp_path / "out").iterdir()}
    ranks = range(2)
    assert out == {
        "dlio.log", "dlio_config", "summary.json",
        *(f"{rank}_output.json" for rank in ranks),
        *(f"{rank}_per_epoch_stats.json" for rank in ranks),
    }  # fmt: skip
    assert (tmp_path / "out" / "dlio_config" / "checkpoint_run.json").is_file()
    assert cm4storage("compare", "out", "out").returncode == 0
    files = {path.name for path in (tmp_path / "ck" / "global_epoch1_step1").iterdir()}
    assert len(files) == 4
    metric = json.loads((tmp_path / "out" / "summary.json").read_text())["metric"]
    assert metric["load_checkpoint_io_mean_GB_per_second"] > 0

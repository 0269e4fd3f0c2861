"""Verbs from end to end, their help, their exit codes, and how they end when they must."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from cm4storage import __version__
from cm4storage.cli.main import VERBS
from cm4storage.workload import stock


@pytest.fixture
def ready(cm4storage, workload_file):
    """Return the common options of a workload whose data set exists."""

    def make(params=""):
        options = [f"--workload={workload_file(params)}", "--data_dir=data"]
        assert cm4storage("generate", *options).returncode == 0
        return options

    return make


@pytest.fixture
def run_folder(cm4storage, ready, tmp_path):
    """Return a function that runs a workload and returns the folder of its results."""

    def make(params=""):
        done = cm4storage("run", *ready(params), "--result_file=run.json")
        assert done.returncode == 0, done.stderr
        return json.loads((tmp_path / "run.json").read_text())["run_dir"]

    return make


def test_version_and_help(cm4storage):
    assert cm4storage("--version").stdout.strip() == __version__
    assert all(verb in cm4storage("--help").stdout for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(cm4storage, verb):
    done = cm4storage(verb, "--help")
    assert done.returncode == 0
    assert VERBS[verb] in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "required: VERB"),
        (["fly"], "invalid choice: 'fly'"),
        (["run"], "required: --workload, --data_dir"),
        (["run", "--workload=w", "--data_dir=d", "--max_steps=0"], "--max_steps"),
        (["run", "--workload=w", "--data_dir=d", "--no_such"], "unrecognized arguments"),
    ],
)
def test_a_wrong_command_line_exits_2_and_points_to_help(cm4storage, args, message):
    done = cm4storage(*args)
    assert done.returncode == 2
    assert message in done.stderr
    assert "--help" in done.stderr


def test_stock_workloads_are_listed(cm4storage):
    head, *lines = cm4storage("workload", "--list").stdout.splitlines()
    assert head.split() == ["name", "format", "files", "sample", "batch", "step", "AU", "source"]
    assert [line.split()[0] for line in lines] == stock.names()
    (line,) = (line for line in lines if line.startswith("retinanet_b200 "))
    assert re.split("  +", line)[1:] == [
        "jpeg", "1,170,301", "315.4 KiB", "24", "0.04755 s", "85%", "MLPerf Storage v3.0",
    ]  # fmt: skip


def test_a_stock_workload_is_found_by_its_names(cm4storage):
    for words in (["--model=retinanet", "--accelerator=b200"], ["--model=retinanet_b200"]):
        done = cm4storage("workload", *words)
        assert "workload retinanet_b200 (quick scale) from retinanet_b200" in done.stderr


def test_checkpoints_alone_resolve_and_do_not_train(cm4storage):
    done = cm4storage("workload", "--model=llama3_8b", "--scale=stock", "--out=w.json")
    assert done.returncode == 0
    assert "checkpoints of 104.7 GiB on 8 ranks: 10 written, 10 read" in done.stderr
    assert "data set" not in done.stderr
    options = ["--workload=w.json", "--data_dir=data"]
    assert "it has no data set" in cm4storage("generate", *options).stderr
    done = cm4storage("run", *options)
    assert done.returncode == 1
    assert "run it with: cm4storage checkpoint" in done.stderr


def loaded(names, program, folder):
    """Return what a program prints, and in the end which of the modules `names` it has loaded."""
    asks = f"{program}\nimport sys\nprint(sorted(set({names!r}) & set(sys.modules)))\n"
    done = subprocess.run(
        [sys.executable, "-c", asks], capture_output=True, text=True, check=True, cwd=folder
    )
    return done.stdout.strip()


def command(*args):
    return f"from cm4storage.cli import main\nassert main({list(args)}) == 0"


def test_a_workload_needs_no_heavy_package(tmp_path):
    heavy = "numpy", "h5py", "pyarrow", "PIL", "rich", "cryptography", "hydra"
    resolving = command("workload", "--model=dlrm_b200", "--quiet")
    assert loaded(heavy, resolving, tmp_path) == "[]"


@pytest.mark.parametrize("verb", ["run", "dlio"])
def test_a_training_waits_for_nothing_that_only_checkpoints_need(verb, tmp_path):
    late = "plugin", "catalogue", "writing", "restoring", "runs.conducting"
    names = [f"cm4storage.checkpoint.{name}" for name in late]
    assert loaded(names, f"import cm4storage.cli.{verb}", tmp_path) == "[]"


def test_the_check_that_each_run_begins_with_loads_nothing_for_services(tmp_path):
    late = "numpy", "ssl", "email", "cm4storage.storage.diagnosis.runner"
    checking = command("check", "--brief", "--data_dir=data")
    assert loaded(late, checking, tmp_path).splitlines()[-1] == "[]"


def test_generate_says_why_and_finds_again(cm4storage, workload_file, tmp_path):
    options = [f"--workload={workload_file()}", "--data_dir=data", "--result_file=result.json"]
    first, second = cm4storage("generate", *options), cm4storage("generate", *options)
    assert "miss: there is no data set for unet3d yet" in first.stderr
    assert "hit: data set unet3d-" in second.stderr
    assert "generating" not in second.stderr
    assert json.loads((tmp_path / "result.json").read_text())["generated"] is False
    workload_file("dataset.num_files_train=12")
    third = cm4storage("generate", *options)
    assert "miss: dataset.num_files_train changed 10 -> 12" in third.stderr


def test_run_and_report_leave_what_dlio_leaves(cm4storage, run_folder, tmp_path):
    folder = tmp_path / run_folder("train.computation_time=0.01")
    assert folder.parent == tmp_path / "results" / "training" / "unet3d" / "run"
    assert re.fullmatch(r"\d{8}_\d{6}", folder.name)
    done = cm4storage("report", folder)
    assert done.returncode == 0
    assert "accelerator utilization" in done.stdout
    assert {re.sub(r"\d{8}_\d{6}", "TIME", path.name) for path in folder.iterdir()} == {
        "run.json", "report.json", "report.csv", "cm-result.json", "summary.json", "0_output.json",
        "0_per_epoch_stats.json", "dlio_config", "dlio.log", "training_TIME_metadata.json",
        "time_series.csv", "report.html",
    }  # fmt: skip
    summary = json.loads((folder / "summary.json").read_text(), parse_constant=pytest.fail)
    assert summary["num_files_train"] == 10
    assert len(summary["metric"]["train_au_percentage"]) == 2
    config = yaml.safe_load((folder / "dlio_config" / "config.yaml").read_text())["workload"]
    assert config["dataset"]["num_files_train"] == 10
    assert config["model"]["name"] == "unet3d"
    overrides = yaml.safe_load((folder / "dlio_config" / "overrides.yaml").read_text())
    assert overrides[0] == "workload=unet3d_h100"
    assert "++workload.dataset.num_files_train=10" in overrides


def test_the_log_says_what_the_record_says(cm4storage, run_folder, tmp_path):
    folder = tmp_path / run_folder("train.computation_time=0.01")
    cm4storage("report", folder)
    log = (folder / "dlio.log").read_text().splitlines()
    times = [line.split()[1] for line in log]
    assert times == sorted(times)
    report = json.loads((folder / "report.json").read_text())
    for epoch in report["epochs"]:
        steps = f"{epoch['steps']} steps completed in {epoch['duration_s']:.2f} s"
        assert any(line.endswith(f"Ending epoch {epoch['epoch']} - {steps}") for line in log)
    assert f"[AU] (%): {report['au_mean_percent']:.4f} (" in "\n".join(log)


def test_a_stage_that_did_not_happen_is_null(cm4storage, run_folder, tmp_path):
    folder = tmp_path / run_folder()
    cm4storage("report", folder)
    report = json.loads((folder / "report.json").read_text())
    assert report["h2d_p50_latency_ms"] is None
    assert report["io_p50_latency_ms"] > 0
    assert report["scale"] == "quick"
    assert report["comparable"] is False


def test_reports_are_the_same_when_made_again(cm4storage, run_folder, tmp_path):
    folder = tmp_path / run_folder()
    cm4storage("report", folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    cm4storage("report", folder)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_quick_scale_is_marked_in_every_output(cm4storage, run_folder, tmp_path):
    folder = tmp_path / run_folder()
    done = cm4storage("report", folder)
    assert "[not comparable: quick scale]" in done.stdout
    outputs = [path for path in folder.rglob("*") if path.is_file()]
    outputs.remove(folder / "time_series.csv")  # rows of figures, and no result
    assert len(outputs) == 13
    assert all("quick" in path.read_text() for path in outputs)


@pytest.mark.parametrize(
    ("params", "limits", "reasons"),
    [
        ("", [], []),
        ("reader.read_threads=2 dataset.num_files_train=12", [], []),
        ("train.epochs=1", [], ["train.epochs was changed"]),
        ("", ["--max_steps=2"], ["limited by max_steps=2"]),
    ],
)
def test_what_makes_a_run_not_comparable(cm4storage, tmp_path, params, limits, reasons):
    config = {"model": "own", "dataset": {"format": "npz", "record_length": 4096},
              "train": {"epochs": 2}}  # fmt: skip
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(config))
    cm4storage("workload", "--config=own.yaml", f"--params={params}", "--out=workload.json")
    options = ["--workload=workload.json", "--data_dir=data"]
    cm4storage("generate", *options)
    cm4storage("run", *options, *limits, "--result_file=run.json")
    folder = json.loads((tmp_path / "run.json").read_text())["run_dir"]
    done = cm4storage("report", folder)
    report = json.loads((tmp_path / folder / "report.json").read_text())
    assert report["not_comparable_because"] == reasons
    assert report["comparable"] is not bool(reasons)
    assert ("not comparable" in done.stdout) is bool(reasons)


def test_runs_of_the_same_second_get_folders_of_their_own(start, ready, tmp_path):
    options = ready()
    processes = [start("run", *options) for _ in range(5)]
    for process in processes:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    folders = list((tmp_path / "results" / "training" / "unet3d" / "run").iterdir())
    assert len(folders) == 5
    assert all((folder / "run.json").is_file() for folder in folders)


def test_a_run_without_its_data_set_says_so_and_leaves_nothing(cm4storage, workload_file, tmp_path):
    done = cm4storage("run", f"--workload={workload_file()}", "--data_dir=data")
    assert done.returncode == 1
    assert "does not exist yet" in done.stderr
    assert not (tmp_path / "results").exists()


def test_a_damaged_file_exits_3_and_leaves_no_results(cm4storage, ready, tmp_path):
    options = ready()
    victim = sorted((tmp_path / "data").rglob("*.npz"))[3]
    data = bytearray(victim.read_bytes())
    data[400] ^= 1
    victim.write_bytes(data)
    done = cm4storage("run", *options)
    assert done.returncode == 3
    assert victim.name in done.stderr
    assert not (tmp_path / "results").exists()
    assert cm4storage("verify", *options).returncode == 0
    assert cm4storage("verify", *options, "--contents").returncode == 3


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_an_ended_run_leaves_no_results(start, ready, tmp_path, number, code):
    options = ready("train.computation_time=5")
    process = start("run", *options)
    assert "training" in process.stderr.readline()
    time.sleep(0.3)
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == code
    assert "Traceback" not in err
    assert not list((tmp_path / "results").rglob("*.json"))
    if number != signal.SIGKILL:
        assert not (tmp_path / "results").exists()


def test_what_a_killed_run_left_is_removed_by_the_next(start, cm4storage, ready, tmp_path):
    options = ready("train.computation_time=5")
    killed, running = start("run", *options), start("run", *options)
    for process in (killed, running):
        assert "training" in process.stderr.readline()
    killed.kill()
    killed.communicate()
    parent = tmp_path / "results" / "training" / "unet3d" / "run"
    assert len(list(parent.iterdir())) == 2
    done = cm4storage("run", *ready())
    assert done.returncode == 0, done.stderr
    hidden = [path for path in parent.iterdir() if path.name.startswith(".")]
    assert len(hidden) == 1  # that of the run that is still at work
    running.terminate()
    running.communicate()
    assert [path.name[0] for path in parent.iterdir()] == ["2"]


def test_a_failed_run_removes_no_folder_of_the_user(cm4storage, workload_file, tmp_path):
    (tmp_path / "mine").mkdir()
    options = [f"--workload={workload_file()}", "--data_dir=none", "--results_dir=mine"]
    assert cm4storage("run", *options).returncode == 1
    assert (tmp_path / "mine").is_dir()
    assert not list((tmp_path / "mine").iterdir())


OF_THE_INTERPRETER = (
    "Fatal Python error: init_",
    "Could not import runpy module",
    "Exception ignored in: <function _get_module_lock",  # before our hook for these is there
)


@pytest.mark.parametrize("delay_s", [0.02 * k for k in range(12)])
def test_ctrl_c_at_any_moment_shows_no_traceback(start, workload_file, delay_s):
    """From the interpreter's start to its end; what the code is depends on the moment."""
    process = start("generate", f"--workload={workload_file()}", "--data_dir=data")
    time.sleep(0.03 + delay_s)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    if any(text in err for text in OF_THE_INTERPRETER):
        return  # none of our code was running yet, on a machine under load
    assert process.returncode in (0, 130, -signal.SIGINT), err
    assert "Traceback" not in err or process.returncode == -signal.SIGINT


def test_an_import_that_makes_another_error_of_ctrl_c_is_still_interrupted(
    cm4storage, ready, tmp_path
):
    """As compiled modules and numpy do: what they raise says that they are not well installed."""
    (tmp_path / "mine.py").write_text(
        "import os, signal\n"
        "try:\n    os.kill(os.getpid(), signal.SIGINT)\n    os.getpid()\n"
        "except KeyboardInterrupt as error:\n    raise ImportError('not complete') from error\n"
    )
    params = "reader.reader_classname=mine.Inverted"
    done = cm4storage("run", *ready(params), env={"PYTHONPATH": str(tmp_path)})
    assert (done.returncode, done.stderr.splitlines()[-1]) == (130, "interrupted")


def test_ctrl_c_within_a_callback_of_the_interpreter_shows_no_traceback(
    cm4storage, ready, tmp_path
):
    """Nothing can be raised there, as in those of imports."""
    (tmp_path / "mine.py").write_text(
        "import os, signal, weakref\n"
        "class Thing:\n    pass\n"
        "def end(_):\n    os.kill(os.getpid(), signal.SIGINT)\n    os.getpid()\n"
        "thing = Thing()\nkept = weakref.ref(thing, end)\ndel thing\n"
        "class Inverted:\n    pass\n"
    )
    params = "reader.reader_classname=mine.Inverted"
    done = cm4storage("run", *ready(params), env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode != 0
    assert "Traceback" not in done.stderr, done.stderr


def test_quiet_writes_nothing_but_errors(cm4storage, workload_file):
    options = [f"--workload={workload_file()}", "--data_dir=data", "--quiet"]
    done = cm4storage("generate", *options)
    assert (done.stdout, done.stderr) == ("", "")
    assert "error" in cm4storage("run", "--workload=none", "--data_dir=data", "-q").stderr


def test_credentials_in_a_url_reach_no_file(cm4storage, ready, tmp_path):
    url = "http://user:planted-secret@127.0.0.1:9"
    done = cm4storage("run", *ready(), f"--endpoint_url={url}")
    assert done.returncode != 0
    assert "planted-secret" not in done.stdout + done.stderr
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or b"planted-secret" not in path.read_bytes()


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", -signal.SIGTERM), ("SIGINT", 0)])
def test_a_signal_at_the_very_end_shows_no_traceback(name: str, code: int) -> None:
    program = (
        "import atexit, signal, sys\n"
        "from cm4storage.__main__ import run\n"
        f"atexit.register(lambda: signal.raise_signal(signal.{name}))\n"
        "sys.argv = ['cm4storage', 'workload', '--list']\n"
        "run()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_of_a_run_repeats_it_from_anywhere(cm4storage, ready, tmp_path):
    options = ready()
    path = f"{tmp_path / 'with space'}"
    done = cm4storage("run", *options, "--results_dir=results", env={"PYTHONPATH": path})
    assert done.returncode == 0, done.stderr
    record = next(tmp_path.glob("results/**/run.json"))
    command = json.loads(record.read_text())["environment"]["command"]
    assert shlex.split(command)[:3] == ["env", f"PYTHONPATH={path}", sys.executable]
    again = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, check=False)
    assert again.returncode == 0, again.stderr
    assert len(list(tmp_path.glob("results/**/run.json"))) == 2


def test_a_signal_between_the_last_two_steps_shows_no_traceback():
    program = (
        "import signal, sys\n"
        "import cm4storage.cli as cli\n"
        "from cm4storage.__main__ import run\n"
        "main = cli.main\n"
        "cli.main = lambda: (main(), signal.raise_signal(signal.SIGTERM))\n"
        "sys.argv = ['cm4storage', 'workload', '--list']\n"
        "run()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 143, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("scheme", ["s3", "az"])
def test_what_is_not_local_cannot_be_synced(cm4storage, workload_file, tmp_path, scheme):
    place = [f"--data_dir={scheme}://bucket/x", f"--server_dir={tmp_path / 'server'}"]
    done = cm4storage("generate", f"--workload={workload_file()}", *place, "--fsync")
    assert done.returncode == 1, done.stderr
    assert "only local files can be synced" in done.stderr
    assert not (tmp_path / "server").exists()


def with_full(stream, *args):
    """Run a command one of whose streams has no room."""
    with Path("/dev/full").open("w") as full:
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | {stream: full}
        return subprocess.run(
            [sys.executable, "-m", "cm4storage", *args],
            **streams, text=True, check=False, timeout=60,
        )  # fmt: skip


def test_output_that_cannot_be_written_is_a_fault_of_storage():
    done = with_full("stdout", "workload", "--list")
    assert done.returncode == 3
    first, where, _ = done.stderr.splitlines()
    assert first == "error: cannot write the output: No space left on device"
    assert where.endswith("standard output")


def test_remarks_that_cannot_be_written_end_nothing(workload_file, tmp_path):
    place = f"--data_dir={tmp_path / 'data'}"
    assert with_full("stderr", "generate", f"--workload={workload_file()}", place).returncode == 0

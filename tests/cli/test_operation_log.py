"""What the operation log of a run says, against what the run says of itself."""

from __future__ import annotations

import json
import signal

import pytest

from cm4storage.storage import embedded
from cm4storage.storage.oplog import read_rows


@pytest.fixture(scope="module")
def s3_options(tmp_path_factory):
    """Give the options and variables of a server that several commands use."""
    with embedded.connect(tmp_path_factory.mktemp("server")) as server:
        keys = {
            "AWS_ACCESS_KEY_ID": server.access_key_id,
            "AWS_SECRET_ACCESS_KEY": server.secret_access_key,
        }
        yield [f"--data_dir=s3://{server.bucket}/x", f"--endpoint_url={server.endpoint_url}"], keys


@pytest.fixture(params=["file", "s3"])
def place(request):
    """Give the options of a location, and the variables for it."""
    return (
        request.getfixturevalue("s3_options") if request.param == "s3" else (["--data_dir=d"], {})
    )


def data_rows(path):
    """Return the rows of the files of samples."""
    return [row for row in read_rows(path) if "/train/" in row.file or "/valid/" in row.file]


@pytest.mark.parametrize(
    "params",
    [
        "reader.read_threads=3",
        "dataset.format=tfrecord dataset.num_samples_per_file=4 reader.transfer_size=4096",
        "dataset.format=hdf5 reader.read_type=memory",
        "reader.odirect=true",
    ],
)
def test_rows_and_bytes_are_those_of_the_run(cm4storage, workload_file, place, tmp_path, params):
    options, env = place
    if "odirect" in params and env:
        pytest.skip("reader.odirect is for local files")
    common = [f"--workload={workload_file(params)}", *options]
    done = cm4storage("generate", *common, "--oplog=g", "--result_file=g.json", env=env)
    assert done.returncode == 0, done.stderr
    made = json.loads((tmp_path / "g.json").read_text())
    puts = [row for row in data_rows(tmp_path / "g") if row.op == "PUT"]
    assert sum(row.size_bytes for row in puts) == made["total_bytes"]
    assert len(puts) == made["files"]

    done = cm4storage("run", *common, "--oplog=r", "--result_file=r.json", env=env)
    assert done.returncode == 0, done.stderr
    folder = json.loads((tmp_path / "r.json").read_text())["run_dir"]
    record = json.loads((tmp_path / folder / "run.json").read_text())
    gets = [row for row in data_rows(tmp_path / "r") if row.op == "GET"]
    assert sum(row.size_bytes for row in gets) == sum(e["bytes_read"] for e in record["epochs"])
    assert not any(row.error for row in gets)
    assert all((row.first_byte_s is not None) == bool(env) for row in gets)
    for name in ("g", "r"):
        written = " ".join(str(row) for row in read_rows(tmp_path / name))
        assert not any(value in written for value in env.values())


def test_verifying_reads_each_byte_once(cm4storage, workload_file, place, tmp_path):
    options, env = place
    common = [f"--workload={workload_file('dataset.format=npy')}", *options]
    done = cm4storage("generate", *common, "--result_file=g.json", env=env)
    assert done.returncode == 0, done.stderr
    done = cm4storage("verify", *common, "--contents", "--oplog=v", env=env)
    assert done.returncode == 0, done.stderr
    rows = [row for row in data_rows(tmp_path / "v") if row.op == "GET"]
    total_bytes = json.loads((tmp_path / "g.json").read_text())["total_bytes"]
    assert sum(row.size_bytes for row in rows) == total_bytes


def test_a_run_that_is_stopped_leaves_a_whole_log(start, cm4storage, workload_file, tmp_path):
    params = "train.computation_time=0.2 train.epochs=50"
    common = [f"--workload={workload_file(params)}", "--data_dir=d"]
    assert cm4storage("generate", *common).returncode == 0
    process = start("run", *common, "--oplog=r")
    assert "training" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert list(read_rows(tmp_path / "r"))


def test_a_log_that_cannot_be_made_stops_before_the_work(cm4storage, workload_file, tmp_path):
    common = [f"--workload={workload_file()}", "--data_dir=d"]
    done = cm4storage("generate", *common, "--oplog=no/such/folder/log")
    assert done.returncode == 1
    assert "cannot make the operation log" in done.stderr
    assert not (tmp_path / "d").exists()


def test_a_workload_that_is_not_there_costs_no_log(cm4storage, tmp_path):
    (tmp_path / "log").write_text("of the last run")
    for verb in ("generate", "run"):
        done = cm4storage(verb, "--workload=none.json", "--data_dir=d", "--oplog=log")
        assert done.returncode == 1, done.stderr
        assert (tmp_path / "log").read_text() == "of the last run"


def test_a_run_without_a_log_loads_nothing_of_it(cm4storage, workload_file):
    options = [f"--workload={workload_file()}", "--data_dir=data"]
    assert cm4storage("generate", *options).returncode == 0
    done = cm4storage("run", *options, env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert done.returncode == 0, done.stderr
    assert "cm4storage.storage.opening" in done.stderr
    assert "oplog" not in done.stderr

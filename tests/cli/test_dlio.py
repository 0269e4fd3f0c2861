"""``cm4storage dlio``: a command line of dlio_benchmark, and the files that it leaves."""

from __future__ import annotations

import json
import shutil

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from cm4storage.core.errors import UserError
from cm4storage.results.collecting.collect import collect
from cm4storage.workload import stock
from cm4storage.workload.explain import explain
from cm4storage.workload.hydra_line import parse_line

SMALL = [
    "++workload.dataset.num_files_train=8", "++workload.dataset.record_length_bytes=4096",
    "++workload.dataset.record_length_bytes_stdev=0", "++workload.reader.batch_size=2",
    "++workload.train.computation_time=0.001", "++workload.train.epochs=2",
]  # fmt: skip
GENERATE = ["++workload.workflow.generate_data=True", "++workload.workflow.train=False"]
STATISTICS = {"summary.json", "0_output.json", "0_per_epoch_stats.json", "dlio.log"}


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_generate_then_train_as_mlperf_storage_does(cm4storage, tmp_path):
    line = ["workload=unet3d_h100", *SMALL]
    made = cm4storage("dlio", *line, *GENERATE, "++hydra.run.dir=gen")
    assert made.returncode == 0, made.stderr
    assert names(tmp_path / "gen") == {"dlio.log", ".hydra"}
    data = tmp_path / "data" / "unet3d"
    assert names(data / "train") == {f"img_{i}_of_8.npz" for i in range(8)}
    done = cm4storage("dlio", *line, "++hydra.run.dir=out", "++hydra.output_subdir=dlio_config")
    assert done.returncode == 0, done.stderr
    assert names(tmp_path / "out") == STATISTICS | {"dlio_config"}
    assert names(tmp_path / "out" / "dlio_config") == {
        "config.yaml", "hydra.yaml", "overrides.yaml", "run.json",
    }  # fmt: skip
    assert "accelerator utilization" in done.stdout
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["num_files_train"], summary["epochs"]) == (8, 2)
    assert cm4storage("report", "out/dlio_config").returncode == 0


def test_its_folder_is_that_of_a_run_for_all_verbs(cm4storage, tmp_path):
    words = ["workload=unet3d_h100", *SMALL, "++workload.workflow.generate_data=True"]
    done = cm4storage("dlio", *words, "++hydra.run.dir=runs/out")
    assert done.returncode == 0, done.stderr
    done = cm4storage("compare", "runs", "runs/out", "runs/out/.hydra")
    assert done.returncode == 0, done.stderr
    [found] = collect([tmp_path / "runs"]).runs
    assert (found.source, found.state) == ("cm4storage", "complete")
    assert found.metrics["wait_p99_ms"] > 0
    assert not found.recomputation.differing
    done = cm4storage("report", "runs/out")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "out" / "report.json").is_file()
    [again] = collect([tmp_path / "runs"]).runs
    assert not again.recomputation.differing
    assert len(again.recomputation.figures) > len(found.recomputation.figures)


def test_the_configuration_is_what_hydra_writes(cm4storage, tmp_path):
    folder = tmp_path / "conf"
    shutil.copytree(stock.FOLDER, folder / "workload")
    (folder / "config.yaml").write_text("defaults: [_self_, workload: default]\n")
    words = ["workload=unet3d_a100", *SMALL, "++workload.train.seed=7"]
    done = cm4storage("dlio", *words, *GENERATE, "++hydra.run.dir=out")
    assert done.returncode == 0, done.stderr
    with initialize_config_dir(str(folder), version_base="1.2"):
        theirs = OmegaConf.to_container(compose("config", [*words, *GENERATE]))
    written = tmp_path / "out" / ".hydra"
    assert yaml.safe_load((written / "config.yaml").read_text()) == theirs
    assert yaml.safe_load((written / "overrides.yaml").read_text()) == [*words, *GENERATE]
    hydra = yaml.safe_load((written / "hydra.yaml").read_text())["hydra"]
    assert hydra["run"]["dir"] == str(tmp_path / "out")
    assert hydra["overrides"]["hydra"] == ["++hydra.run.dir=out"]
    assert hydra["runtime"]["choices"]["workload"] == "unet3d_a100"


def test_a_folder_of_configurations_and_one_run_for_both(cm4storage, tmp_path):
    (tmp_path / "conf" / "workload").mkdir(parents=True)
    (tmp_path / "conf" / "workload" / "own.yaml").write_text(
        "model: own\nframework: pytorch\nworkflow: {generate_data: true, train: true}\n"
        "dataset: {format: npz, num_files_train: 4, record_length: 900, data_folder: d/own/,\n"
        "          num_subfolders_train: 2}\n"
        "storage: {storage_root: root}\n"
        "output: {folder: 'res/${workload.model}', log_file: my.log}\n"
    )
    for words in (["workload=own", "--config-dir", "conf"], ["--config-dir=conf", "workload=own"]):
        done = cm4storage("dlio", *words, "++workload.train.epochs=1")
        assert done.returncode == 0, done.stderr
    data = tmp_path / "root" / "d" / "own" / "train"
    assert sorted(str(p.relative_to(data)) for p in data.rglob("*.npz")) == [
        "0/img_0_of_4.npz", "0/img_2_of_4.npz", "1/img_1_of_4.npz", "1/img_3_of_4.npz",
    ]  # fmt: skip
    # One file of statistics without a rank in its name: the dialect is that of 2024.
    expected = {"summary.json", "0_output.json", "per_epoch_stats.json", "my.log"}
    assert names(tmp_path / "res" / "own") == expected
    (model,) = (tmp_path / "hydra_log").iterdir()
    assert model.name == "own"
    assert all(names(run) == {".hydra"} for run in model.iterdir())


def test_data_of_others_are_read_where_they_are(cm4storage, tmp_path):
    import numpy as np

    train = tmp_path / "data" / "unet3d" / "train"
    train.mkdir(parents=True)
    for index in range(8):
        np.savez(train / f"img_{index}_of_8.npz", x=np.ones((64, 64, 1), np.uint8), y=[0])
    done = cm4storage("dlio", "workload=unet3d_h100", *SMALL, "++hydra.run.dir=out")
    assert done.returncode == 0, done.stderr
    assert names(train.parent) == {"train"}
    assert names(tmp_path / "out") == STATISTICS | {".hydra"}


def test_without_data_it_says_what_is_missing(cm4storage):
    done = cm4storage("dlio", "workload=unet3d_h100", *SMALL, "++hydra.run.dir=out")
    assert done.returncode == 1
    assert "does not hold the data set" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["workload=unet4d"], "there is no stock workload unet4d"),
        (["workload=[a,b]"], "names no workload"),
        (["workload=../x"], "names no workload"),
        (["++reader.batch_size=4"], r"write ++workload.reader.batch_size=..."),
        (["++workload.reader.bach_size=4"], "did you mean reader.batch_size?"),
        (["workload=default", "hydra/launcher=joblib"], "several runs by one command"),
        (["--multirun"], "several runs by one command"),
        (["words"], "'words' is not KEY=VALUE"),
        (["++hydra.run.dir=${nothing}"], "names no key"),
        (
            [
                "workload=llama3_8b",
                "++workload.checkpoint.num_checkpoints_write=0",
                "++workload.checkpoint.num_checkpoints_read=0",
            ],
            "no checkpoint is to be written or read",
        ),
        (["workload=default", "++workload.storage.storage_type=aistore"], "aistore is not"),
    ],
)
def test_wrong_lines_say_why_and_leave_nothing(cm4storage, tmp_path, words, message):
    done = cm4storage("dlio", *words)
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert not list(tmp_path.iterdir())


def test_the_configuration_can_be_shown(cm4storage, tmp_path):
    words = ["workload=dlrm-2024", "++workload.reader.prefetch_size=${.read_threads}"]
    job = yaml.safe_load(cm4storage("dlio", *words, "--cfg", "job").stdout)["workload"]
    assert job["model"] == "dlrm"
    assert job["reader"]["prefetch_size"] == "${.read_threads}"
    words.append("++workload.reader.read_threads=3")
    resolved = yaml.safe_load(cm4storage("dlio", *words, "--cfg=job", "--resolve").stdout)
    assert resolved["workload"]["reader"]["prefetch_size"] == 3
    assert "run" in yaml.safe_load(cm4storage("dlio", "--cfg=hydra").stdout)["hydra"]
    assert not list(tmp_path.iterdir())


def test_credentials_reach_no_file(cm4storage, tmp_path):
    secret = "++workload.storage.storage_options.secret_access_key=planted-secret"
    done = cm4storage("dlio", "workload=unet3d_h100", *SMALL, secret,
                      "++workload.workflow.generate_data=true", "++hydra.run.dir=out")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "planted" not in done.stdout + done.stderr
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in files if b"planted" in path.read_bytes()]
    overrides = (tmp_path / "out" / ".hydra" / "overrides.yaml").read_text()
    assert "secret_access_key=***" in overrides


def test_a_url_with_a_password_is_refused_and_not_shown(cm4storage, tmp_path):
    url = "++workload.storage.storage_options.endpoint_url=http://me:planted@host/"
    done = cm4storage("dlio", "workload=unet3d_h100", *SMALL, url, "++hydra.run.dir=out")
    assert done.returncode == 1
    assert "storage.storage_options.endpoint_url must not hold credentials" in done.stderr
    assert "planted" not in done.stdout + done.stderr
    assert not list(tmp_path.iterdir())


def test_the_folder_of_a_run_may_be_computed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for text, expected in (
        ("out/${workload.model.name}", "out/unet3d"),
        ("${hydra:runtime.choices.workload}-${workload.dataset.format}", "unet3d_h100-npz"),
        ("'a b'", "a b"),
    ):
        line = parse_line(["workload=unet3d_h100", f"hydra.run.dir={text}"])
        assert line.run_dir(explain(line.request())) == tmp_path / expected
    line = parse_line(["workload=unet3d_h100", "hydra.run.dir="])
    with pytest.raises(UserError, match="names no folder"):
        line.run_dir(explain(line.request()))


def test_the_default_folder_is_that_of_dlio(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = parse_line([])
    folder = line.run_dir(explain(line.request()))
    assert folder.parent == tmp_path / "hydra_log" / "default"
    assert len(folder.name.split("-")) == 6

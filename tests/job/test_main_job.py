"""The chain of recipes on both backends: what it prints, what it leaves, what it finds again."""

from __future__ import annotations

import csv
import functools
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from tfrecord.reader import tfrecord_loader

from cm4storage.storage import embedded

MAIN = "run,dlio,mlperf"
BACKENDS = ["_file", "_s3", "_azure"]
SCHEMES = {"_file": "file", "_s3": "s3", "_azure": "az"}


@pytest.fixture(scope="module")
def first_run(cm_home, fast):
    """Return a function from a backend to its first run, made once for all that look at it."""

    @functools.cache
    def run(backend):
        code, output = cm_home.run(f"{MAIN},{backend}", *arguments(fast))
        assert code == 0, output
        assert not cm_home.left_over()
        folder = cm_home.results()[-1]
        return output, folder, json.loads((folder / "report.json").read_text())

    return run


def arguments(params):
    return f"--params={params}", "--max_epochs=2"


@pytest.mark.parametrize("backend", BACKENDS)
def test_second_run_finds_its_data_set_again_and_says_why(cm_home, fast, first_run, backend):
    tags = f"{MAIN},{backend}"
    first, _, _ = first_run(backend)
    assert "miss: there is no data set for unet3d yet" in first
    code, second = cm_home.run(tags, *arguments(fast))
    assert code == 0, second
    assert re.search(r"get-dlio-workload.*hit", second)
    assert "14 files verified by name and size" in second
    assert "generating" not in second
    files = {"_file": 21, "_s3": 28, "_azure": 35}[backend]
    code, third = cm_home.run(tags, *arguments(f"{fast} dataset.num_files_train={files}"))
    assert code == 0, third
    assert re.search(r"get-dlio-workload.*miss: MLPERF_STORAGE_PARAMS changed", third)
    assert f"miss: dataset.num_files_train changed 14 -> {files}" in third
    assert not cm_home.left_over()


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_table_at_the_end(first_run, backend):
    output, folder, report = first_run(backend)
    table = output[output.index("unet3d_h100 on") :]
    assert table.startswith(f"unet3d_h100 on {SCHEMES[backend]}")
    for part in ("accelerator utilization", "samples/s", "MiB/s", "P50", "P95", "P99", "decode"):
        assert part in table
    assert f"results   {folder}" in table
    again = re.search(r"run again (.*)", table).group(1)
    assert again.startswith(f"cm run script --tags={MAIN},")
    assert backend in again
    assert "--max_epochs=2" in again
    assert report["backend_type"] == SCHEMES[backend]
    row = next(csv.DictReader((folder / "report.csv").read_text().splitlines()))
    assert int(row["total_bytes"]) == report["total_bytes"] > 1_000_000


def test_all_backends_hold_the_same_bytes_and_are_read_in_the_same_order(first_run):
    one, *others = [report for _, _, report in map(first_run, BACKENDS)]
    for other in others:
        assert one["data_set"]["content_digest"] == other["data_set"]["content_digest"]
        assert one["access_order_digest"] == other["access_order_digest"]
        assert one["access_order_sample"] == other["access_order_sample"]
        assert one["total_bytes"] == other["total_bytes"]


def test_an_azure_account_of_the_users_and_its_key_nowhere(cm_home, fast, tmp_path):
    with embedded.connect(tmp_path / "server", "azure") as server:
        env = {
            "AZURE_STORAGE_ACCOUNT": server.access_key_id,
            "AZURE_STORAGE_KEY": server.secret_access_key,
        }
        code, output = cm_home.run(
            f"{MAIN},_azure", f"--params={fast}", f"--endpoint_url={server.endpoint_url}",
            f"--data_dir=az://{server.bucket}/of/mine", "--max_epochs=1", env=env,
        )  # fmt: skip
        assert code == 0, output
        assert "storage az://cm4storage/of/mine works" in output
        key = server.secret_access_key
        assert key not in output
        for folder in (cm_home.repos / "repos" / "local", cm_home.work):
            holders = [path for path in folder.rglob("*") if path.is_file()]
            assert not [path for path in holders if key.encode() in path.read_bytes()]


def test_direct_io_finds_what_went_through_the_page_cache(new_home, fast, needs_direct_io):
    """Both backends keep their data in one folder, and the numbers name theirs."""
    del needs_direct_io
    reports = []
    for backend in ("_directio", "_file", "_directio,_cold"):
        code, output = new_home.run(f"{MAIN},{backend}", f"--params={fast}", "--fsync")
        assert code == 0, output
        assert ("generating" in output) is (not reports)
        reports.append(json.loads((new_home.results()[-1] / "report.json").read_text()))
    assert [report["backend_type"] for report in reports] == ["directio", "file", "directio"]
    for key in ("access_order_digest", "access_order_sample", "total_bytes"):
        assert len({str(report[key]) for report in reports}) == 1
    # A page of each file that was cut in the middle of a block is all that a cache has.
    assert all(epoch["page_cache_after_percent"] < 10 for epoch in reports[2]["epochs"])


@pytest.mark.parametrize(
    ("tags", "data_dir", "advice"),
    [
        ("", "directio:///data", "add _directio to the tags"),
        (",_directio", "s3://bucket/prefix", "add _s3 to the tags"),
        (",_directio", "https://host/x", "give a path or directio:///FOLDER"),
    ],
)
def test_backend_and_data_dir_must_agree(cm_home, tags, data_dir, advice):
    code, output = cm_home.run(f"setup,storage,backend{tags}", f"--data_dir={data_dir}")
    assert (code, advice in output) == (1, True), output


def test_direct_io_in_memory_is_refused(cm_home, memory_folder):
    code, output = cm_home.run("setup,storage,backend,_directio", f"--data_dir={memory_folder}")
    assert code == 1, output
    assert "directio:// has no meaning on tmpfs: its files are memory" in output


@pytest.mark.usefixtures("needs_direct_io")
@pytest.mark.parametrize("form", ["{0}", "file://{1}", "directio://{1}", "direct://{1}"])
def test_direct_io_takes_a_path_or_a_uri(cm_home, form):
    folder = cm_home.work / "direct here"
    data_dir = form.format(folder, folder.as_uri().removeprefix("file://"))
    code, output = cm_home.run("setup,storage,backend,_directio", f"--data_dir={data_dir}")
    assert code == 0, output
    assert "/direct%20here works" in output


def test_two_runs_at_once_share_data_set_and_server(new_home, fast):
    running = [new_home.start(f"{MAIN},_s3", f"--params={fast}") for _ in range(2)]
    outputs = [process.communicate(timeout=240)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0], "\n".join(outputs)
    assert sum("generating: done" in output for output in outputs) == 1
    assert len(new_home.results()) == 2
    assert not new_home.left_over()


@pytest.mark.parametrize(
    "tags",
    [
        "get,cm4storage,python", "get,dlio,workload", "setup,storage,backend",
        "setup,storage,backend,_s3", "setup,storage,backend,_azure",
        "generate,dlio,dataset", "run,dlio,loader",
    ],
)  # fmt: skip
def test_each_recipe_runs_alone(cm_home, fast, tags):
    args = [f"--params={fast}"] if "dlio" in tags else []
    code, output = cm_home.run(tags, *args)
    assert code == 0, output
    assert not cm_home.left_over()


def test_a_report_is_made_again_from_the_run_alone(cm_home, fast):
    cm_home.run("run,dlio,loader", f"--params={fast}")
    folder = cm_home.results()[-1]
    assert not (folder / "summary.json").exists()
    code, output = cm_home.run("generate,mlperf,storage,report", f"--run_dir={folder}")
    assert code == 0, output
    assert (folder / "summary.json").exists()


def test_a_folder_for_the_embedded_server_may_be_a_uri(cm_home, fast):
    folder = cm_home.work / "server here"
    uri = folder.as_uri()
    code, output = cm_home.run(f"{MAIN},_s3", f"--params={fast}", f"--data_dir={uri}")
    assert code == 0, output
    assert (folder / "data").is_dir()


def test_bert_has_an_accelerator_of_its_own(cm_home):
    code, output = cm_home.run("get,dlio,workload,_bert")
    assert code == 0, output
    assert "workload bert_v100 (quick scale)" in output


def test_the_printed_command_works_by_hand(cm_home, fast):
    _, output = cm_home.run(MAIN, f"--params={fast}")
    command = re.search(r"command: (.* -m cm4storage run .*)", output).group(1)
    done = subprocess.run(
        ["bash", "-c", command], cwd=cm_home.work, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_new_release_of_the_library_is_no_stale_hit(home_of, copied_checkout):
    home, tags = home_of(copied_checkout), "get,dlio,workload,_stock"
    home.run(tags)
    stock = copied_checkout / "src" / "cm4storage" / "workload" / "stock" / "base" / "unet3d.yaml"
    assert "batch_size: 7" in stock.read_text()
    stock.write_text(stock.read_text().replace("batch_size: 7", "batch_size: 6"))
    _, output = home.run(tags)
    assert re.search(r"get-dlio-workload.* miss: .*MLPERF_STORAGE_LIBRARY_DIGEST changed", output)
    assert "batch 6" in output
    _, output = home.run(tags)
    assert re.search(r"get-dlio-workload.* hit: ", output)


def test_a_data_set_outlives_a_new_release_of_recipes_and_library(home_of, copied_checkout, fast):
    home = home_of(copied_checkout)
    home.run(MAIN, f"--params={fast}")
    for path in (*copied_checkout.glob("script/*/*.py"), *copied_checkout.glob("src/*/*/*.py")):
        path.write_text(path.read_text() + "# a new release\n")
    code, output = home.run(MAIN, f"--params={fast}")
    assert code == 0, output
    assert "14 files verified by name and size" in output
    assert "generating" not in output


def test_json_output_is_clean(cm_home, fast):
    process = subprocess.run(
        [str(Path(sys.executable).with_name("cm")), "run", "script", f"--tags={MAIN}", "--quiet",
         f"--params={fast}", "--out=json"],
        cwd=cm_home.work, env=cm_home.env(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    answer = json.loads(process.stdout)
    assert answer["new_env"]["MLPERF_STORAGE_RUN_DIR"] == str(cm_home.results()[-1])


def test_relative_paths_are_the_callers(new_home, fast):
    (new_home.work / "my.yaml").write_text(yaml.safe_dump({"dataset": {"format": "npz"}}))
    code, output = new_home.run(
        MAIN, "--config=my.yaml", "--data_dir=my data", "--results_dir=out",
        f"--params={fast} reader.batch_size=2",
    )  # fmt: skip
    assert code == 0, output
    assert list((new_home.work / "my data").glob("my-*/train/*.npz"))
    assert list((new_home.work / "out" / "training" / "my" / "run").iterdir())
    assert not (new_home.work / "results").exists()


@pytest.fixture(scope="session")
def dlio_wheel(tmp_path_factory):
    """Return the workload folder of the PyPI wheel dlio-benchmark 2.0.0."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder),
         "dlio-benchmark==2.0.0"], check=True,
    )  # fmt: skip
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder / "dlio_benchmark" / "configs" / "workload"


UNET3D = (
    "dataset.num_files_train=14 dataset.record_length=1048576 dataset.record_length_stdev=0 "
    "train.epochs=2 train.computation_time=0.05"
)
RESNET50 = (
    "dataset.num_files_train=4 dataset.num_samples_per_file=250 dataset.record_length=10000 "
    "train.epochs=2 train.computation_time=0.05"
)


# What a YAML says and where the data are meet nowhere: each is in the ordinary run, not each pair.
@pytest.mark.parametrize(
    ("name", "params", "backend"),
    [
        ("unet3d", UNET3D, "_s3"),
        ("resnet50", RESNET50, "_azure"),
        ("resnet50", RESNET50, "_file"),
        pytest.param("unet3d", UNET3D, "_file", marks=pytest.mark.soak),
        pytest.param("unet3d", UNET3D, "_azure", marks=pytest.mark.soak),
        pytest.param("resnet50", RESNET50, "_s3", marks=pytest.mark.soak),
    ],
)
def test_stock_yaml_of_the_wheel_runs_unmodified(cm_home, dlio_wheel, backend, name, params):
    config = dlio_wheel / f"{name}_h100.yaml"
    code, output = cm_home.run(f"{MAIN},{backend}", f"--config={config}", f"--params={params}")
    assert code == 0, output
    folder = cm_home.results()[-1]
    report = json.loads((folder / "report.json").read_text())
    assert report["benchmark_name"] == f"{name}_h100"
    assert report["scale"] == "stock"
    assert "quick scale" not in output
    assert "run-dlio-mlperf _" + backend[1:] in output  # and no model that is not run
    assert len(report["epochs"]) == 2


@pytest.mark.parametrize(("name", "params"), [("unet3d", UNET3D), ("resnet50", RESNET50)])
def test_foreign_readers_accept_every_generated_file(cm_home, dlio_wheel, name, params):
    data = cm_home.work / f"data of {name}"
    config = dlio_wheel / f"{name}_h100.yaml"
    code, output = cm_home.run(
        "generate,dlio,dataset", f"--config={config}", f"--params={params}", f"--data_dir={data}"
    )
    assert code == 0, output
    files = sorted(data.glob("*/train/*"))
    assert len(files) == (14 if name == "unet3d" else 4)
    for path in files:
        if name == "unet3d":
            assert np.load(path)["x"].shape == (1024, 1024, 1)
        else:
            records = list(tfrecord_loader(str(path), None, {"image": "byte", "size": "int"}))
            assert len(records) == 250
            assert {len(record["image"]) for record in records} == {100 * 100}

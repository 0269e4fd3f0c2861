"""``cm4storage run --foreign``: a data set without a manifest of ours, and what is said of it."""

from __future__ import annotations

import json


def test_the_record_and_the_report_say_that_it_is_foreign(cm4storage, workload_file, tmp_path):
    workload = f"--workload={workload_file()}"
    assert cm4storage("generate", workload, "--data_dir=data").returncode == 0
    (made,) = (tmp_path / "data").glob("unet3d-*")
    (made / "dataset.json").unlink()
    (made / "files.tsv").unlink()
    folder = made.rename(tmp_path / "foreign")
    options = workload, f"--data_dir={folder}", "--result_file=result.json"
    refused = cm4storage("run", *options)
    assert refused.returncode == 1
    assert "does not exist yet" in refused.stderr
    done = cm4storage("run", *options, "--foreign")
    assert done.returncode == 0, done.stderr
    run = json.loads((tmp_path / "result.json").read_text())["run_dir"]
    assert cm4storage("report", run).returncode == 0
    report = json.loads((tmp_path / run / "report.json").read_text())
    total_bytes = sum(path.stat().st_size for path in folder.glob("train/*"))
    assert report["data_set"] == {"foreign": True, "files": 10, "total_bytes": total_bytes}

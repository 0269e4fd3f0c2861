"""Our own side: workloads from YAML, and the verbs as a user calls them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import yaml

from cm4storage.workload.resolve import Request, resolve


def saved(what, tmp_path, name="tiny"):
    """Write a workload as YAML; return the path, and the workload that we make of it."""
    path = tmp_path / f"{name}.yaml"
    path.write_text(yaml.safe_dump(what))
    return path, resolve(Request(config=path)).workload


class Ours:
    """``cm4storage`` in one folder, on one workload file. Every command must succeed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def call(self, *arguments):
        """Run ``cm4storage ARGS``; return what it printed."""
        command = [sys.executable, "-m", "cm4storage", *map(str, arguments)]
        done = subprocess.run(
            command, cwd=self._folder, text=True, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def resolve(self, config, params=""):
        """Make the workload file that the other commands use."""
        self.call("workload", f"--config={config}", f"--params={params}", "--out=workload.json")

    def generate(self):
        """Generate the data set; return its folder."""
        uri = self._result("generate", "--data_dir=data")["uri"]
        return Path(uri.removeprefix("file://"))

    def run(self, *options):
        """Run the loader; return the folder of the results."""
        return Path(self._result("run", *options)["run_dir"])

    def _result(self, verb, *options):
        result = self._folder / f"{verb}.json"
        self.call(verb, "--workload=workload.json", f"--result_file={result}", *options)
        return json.loads(result.read_text())


def record_of(run):
    """Return the record of a run."""
    return json.loads((run / "run.json").read_text())

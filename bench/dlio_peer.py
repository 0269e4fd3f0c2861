"""Drive dlio-benchmark, which lives in an environment of its own; serves tests and benchmarks.

``CM4STORAGE_DLIO_PYTHON`` names the Python of that environment; ``nox -s dlio`` makes one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

VARIABLE = "CM4STORAGE_DLIO_PYTHON"

TIMEOUT_S = 900

_INDEXER = """#!{python}
# Stands in for the program of this name that comes with DALI: one line "offset length" a record.
import struct, sys

with open(sys.argv[1], "rb") as data, open(sys.argv[2], "w") as index:
    while header := data.read(12):
        start = data.tell() - 12
        data.seek(struct.unpack("<Q", header[:8])[0] + 4, 1)
        index.write(f"{{start}} {{data.tell() - start}}\\n")
"""


def peer_python() -> Path | None:
    """Return the Python of the environment that has dlio-benchmark, if one is named."""
    python = Path(os.environ.get(VARIABLE) or "/nonexistent/python")
    return python if (python.parent / "dlio_benchmark").exists() else None


@dataclass(frozen=True)
class PeerRun:
    """One process of dlio-benchmark: what it printed, and the folder it left."""

    returncode: int
    output: str
    folder: Path

    def document(self, name: str) -> Any:
        """Return the content of one of its JSON files."""
        return json.loads((self.folder / name).read_text(encoding="utf-8"))

    def steps(self) -> list[int]:
        """Return the number of steps of each epoch."""
        output = self.document("0_output.json")
        return [len(output[key]["load"]["block1"]) for key in output if key.isdigit()]

    def epochs_s(self) -> list[float]:
        """Return the seconds of each epoch's steps, from its own time stamps."""
        stats = self.document("per_epoch_stats.json")
        blocks = (stats[epoch]["block1"] for epoch in sorted(stats, key=int))
        return [(_time(block["end"]) - _time(block["start"])).total_seconds() for block in blocks]


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


class Peer:
    """dlio-benchmark of one environment, working in one folder.

    Parameters
    ----------
    python : Path
        The environment's Python.
    folder : Path
        Where configurations and results go.
    shadow : Path, optional
        A folder of modules that go before those of the environment.
    """

    def __init__(self, python: Path, folder: Path, shadow: Path | None = None) -> None:
        self.python = python
        self.folder = folder
        programs = folder / "programs"
        programs.mkdir(parents=True, exist_ok=True)
        indexer = programs / "tfrecord2idx"
        indexer.write_text(_INDEXER.format(python=sys.executable), encoding="utf-8")
        indexer.chmod(0o755)
        own = {k: v for k, v in os.environ.items() if not k.startswith(("DLIO_", "DFTRACER_"))}
        self.environment = own | {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(shadow or ""),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "CUDA_VISIBLE_DEVICES": "",
        }

    def command(self, document: dict[str, Any], name: str) -> list[str]:
        """Write `document` as the workload `name`, and return the command that runs it."""
        configurations = self.folder / "configurations"
        (configurations / "workload").mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump(document, sort_keys=False)
        (configurations / "workload" / f"{name}.yaml").write_text(text, encoding="utf-8")
        return [
            str(self.python.parent / "dlio_benchmark"),
            f"--config-dir={configurations}",
            f"workload={name}",
            f"++hydra.run.dir={self.folder / name}",
        ]

    def run(self, document: dict[str, Any], name: str) -> PeerRun:
        """Run `document` as the workload `name` to its end."""
        done = self._output(self.command(document, name))
        return PeerRun(done.returncode, done.stdout, self.folder / name)

    def evaluate(self, code: str, *arguments: str) -> Any:
        """Run Python code in the environment; return what its last line says in JSON."""
        done = self._output([str(self.python), "-c", code, *arguments])
        if done.returncode:
            raise RuntimeError(done.stdout)
        return json.loads(done.stdout.splitlines()[-1])

    def _output(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, text=True, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=TIMEOUT_S,
        )  # fmt: skip


def without_debug_line(python: Path, folder: Path) -> Path:
    """Copy the package into `folder` without the message that lists all files for each sample.

    Raises
    ------
    RuntimeError
        If the installed package has no such line.
    """
    code = "import dlio_benchmark; print(dlio_benchmark.__path__[0])"
    found = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True)
    shutil.copytree(found.stdout.strip(), folder / "dlio_benchmark")
    reader = folder / "dlio_benchmark" / "reader" / "reader_handler.py"
    lines = reader.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if "debug" not in line or "global_index_map" not in line]
    if len(kept) != len(lines) - 1:
        raise RuntimeError(f"expected one message of all files in {reader}")
    reader.write_text("".join(kept), encoding="utf-8")
    return folder

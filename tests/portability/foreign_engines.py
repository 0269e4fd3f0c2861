"""Other engines that run recipes: mlcflow, and the original script automation of CM.

Each has an environment of its own; the recipes are a copy of this checkout's.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
SMALL = "dataset.num_files_train=7 dataset.record_length_bytes=65536 train.computation_time=0.01"
CONFIG = """\
model: {name: unet3d}
framework: pytorch
workflow: {generate_data: True, train: True}
dataset:
  {data_folder: data/unet3d, format: npz, num_files_train: 6, num_samples_per_file: 1,
   record_length_bytes: 65536}
reader: {data_loader: pytorch, batch_size: 2, read_threads: 2}
train: {epochs: 1, computation_time: 0.01}
"""


@dataclass(frozen=True)
class Engine:
    """An engine in an environment, with folders of its own."""

    programs: Path
    folder: Path

    @property
    def caller(self) -> Path:
        """The folder from which recipes are run."""
        return self.folder / "work"

    @property
    def temporary(self) -> Path:
        """The engine's TMPDIR."""
        return self.folder / "tmp"

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run one of the engine's programs; both streams are in stdout."""
        program, *arguments = words
        return subprocess.run(
            [self.programs / program, *arguments],
            cwd=self.caller,
            env={
                "PATH": f"{self.programs}:{os.environ['PATH']}",
                "HOME": str(self.folder),
                "MLC_REPOS": str(self.folder / "mlc"),
                "CM_REPOS": str(self.folder / "cm"),
                "TMPDIR": str(self.temporary),
                "LC_ALL": "C.UTF-8",
                **{k: v for k, v in os.environ.items() if k.startswith("PIP_")},
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=280,
        )

    def output(self, *words: str) -> str:
        """Run a program that must succeed."""
        done = self.call(*words)
        assert done.returncode == 0, done.stdout
        return done.stdout


def new_engine(programs: Path, folder: Path) -> Engine:
    """Return an engine that knows no repository yet."""
    engine = Engine(programs, folder)
    engine.caller.mkdir(parents=True)
    engine.temporary.mkdir()
    (engine.caller / "own.yaml").write_text(CONFIG)
    return engine


def copy_with_meta(target: Path) -> Path:
    """Return a copy of this repository in which a ``meta.yaml`` lies beside each ``_cm.yaml``."""
    for name in ("automation", "script", "src"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(CHECKOUT / name, target / name, ignore=ignored)
    shutil.copy2(CHECKOUT / "cmr.yaml", target)
    shutil.copyfile(target / "cmr.yaml", target / "meta.yaml")
    for path in target.glob("script/*/_cm.yaml"):
        shutil.copyfile(path, path.with_name("meta.yaml"))
    return target


def summaries(engine: Engine) -> list[Path]:
    """Return the results of the engine's runs."""
    return sorted(engine.caller.glob("results/training/*/run/*/summary.json"))

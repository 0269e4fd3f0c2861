"""The main job as a user runs it: through the ``cm`` command, with a CM home of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
CM = str(Path(sys.executable).with_name("cm"))

FAST = (
    "dataset.num_files_train=14 dataset.record_length_bytes=100000 "
    "dataset.record_length_bytes_stdev=20000 train.computation_time=0.01"
)


def processes_in(folder):
    """Return the processes that work in `folder` or name it: ``ps`` for one CM home."""
    found = {}
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            place = str((process / "cwd").readlink())
        except OSError:
            continue
        if command and (str(folder) in command or place.startswith(str(folder))):
            found[int(process.name)] = command
    return found


class CmHome:
    """A ``CM_REPOS`` with this checkout registered, and a folder to call from."""

    def __init__(self, folder: Path, checkout: Path = CHECKOUT) -> None:
        self.repos = folder / "CM"
        self.work = folder / "work"
        self.work.mkdir(parents=True)
        subprocess.run(
            [CM, "init", "repo", f"--path={checkout}"], env=self.env(), check=True,
            stdout=subprocess.DEVNULL, cwd=self.work,
        )  # fmt: skip

    def env(self):
        """Return the environment of a user who calls cm itself, and not through bootstrap."""
        host = {k: v for k, v in os.environ.items() if not k.startswith("MLPERF_STORAGE_")}
        return host | {"CM_REPOS": str(self.repos), "HOME": str(self.work)}

    def start(self, tags, *args, prefix=(), env=None, **options):
        """Start ``cm run script --tags=TAGS ARGS``, its output in one pipe."""
        return subprocess.Popen(
            [*prefix, CM, "run", "script", f"--tags={tags}", "--quiet", *map(str, args)],
            cwd=self.work, env=self.env() | (env or {}), text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options,
        )  # fmt: skip

    def run(self, tags, *args, **options):
        """Run it to its end; return the exit code and all output."""
        process = self.start(tags, *args, **options)
        output, _ = process.communicate(timeout=240)
        return process.returncode, output

    def left_over(self, patience_s=0.0):
        """Return the processes that are still there after `patience_s` seconds."""
        deadline = time.monotonic() + patience_s
        while (found := processes_in(self.repos)) and time.monotonic() < deadline:
            time.sleep(0.1)
        return found

    def results(self):
        """Return the folders of all results, in order."""
        folders = (self.work / "results").glob("training/*/run/*")
        return sorted(folders, key=lambda folder: folder.name)

    def forget_results(self):
        shutil.rmtree(self.work / "results", ignore_errors=True)


@pytest.fixture(scope="module")
def cm_home(tmp_path_factory):
    """One CM home for all tests of a module, its data sets and server data included."""
    home = CmHome(tmp_path_factory.mktemp("home with space"))
    yield home
    assert not home.left_over(patience_s=5)


@pytest.fixture
def new_home(tmp_path):
    """Return an empty CM home."""
    return CmHome(tmp_path / "home")


@pytest.fixture
def copied_checkout(tmp_path):
    """Return a copy of what cm needs of this checkout, to be edited."""
    copy = tmp_path / "checkout"
    copy.mkdir()
    for name in ("script", "automation", "src"):
        shutil.copytree(CHECKOUT / name, copy / name)
    shutil.copy(CHECKOUT / "cmr.yaml", copy)
    return copy


@pytest.fixture
def home_of(tmp_path):
    """Return a function from a checkout to a CM home in which it is registered."""
    return lambda checkout: CmHome(tmp_path / "home", checkout)


@pytest.fixture(scope="session")
def fast():
    return FAST

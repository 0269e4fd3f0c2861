"""Storage that fails while a data set is generated: a clear error, and the next start completes."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from dataset_processes import wait_for_journal

from cm4storage.core.progress import NoProgress
from cm4storage.dataset.identity import Identity
from cm4storage.dataset.opening import open_dataset
from cm4storage.dataset.preparation import prepare
from cm4storage.dataset.verdict import verify_contents
from cm4storage.storage.location import EMBEDDED_BUCKET, StoreLocation
from cm4storage.storage.opening import open_store

SOURCE = Path(__file__).parents[2] / "src"

GENERATION = """
import os, sys, threading, time
from pathlib import Path
from cm4storage.core.errors import StorageFault
from cm4storage.core.progress import NoProgress
from cm4storage.dataset.preparation import prepare
from cm4storage.storage.location import StoreLocation
from cm4storage.workload.resolve import Request, resolve

class Filling(NoProgress):
    '''Fills the disk when a third of the data set is there.'''
    done, is_full = 0, False
    def advance(self, units, detail=""):
        time.sleep(units / 5e6)  # however many parts a file has
        Filling.done += units
        if Filling.done > 6_000_000 and not Filling.is_full:
            Filling.is_full = True
            with open(f"{sys.argv[1]}/filler", "wb", buffering=0) as filler:
                try:
                    while filler.write(bytes(4096)):
                        pass
                except OSError:
                    pass

workload = resolve(Request(params=sys.argv[2])).workload
place = StoreLocation.parse(f"{sys.argv[1]}/data")
try:
    prepare(workload, place, Filling(), print, threads=2)
except StorageFault as fault:
    print(fault)
os.remove(f"{sys.argv[1]}/filler")
prepare(workload, place, NoProgress(), print, threads=2)
for thread in threading.enumerate():  # a thread of the first attempt may still be at its file
    if thread.name.startswith("generate"):
        thread.join()
print("COMPLETE", len(list(Path(sys.argv[1]).rglob("*.npz"))))
print("TEMPORARY", len(list(Path(sys.argv[1]).rglob("*.tmp"))))
"""

LARGE = (
    "dataset.num_files_train=40 dataset.record_length_bytes=400000 "
    "dataset.record_length_bytes_stdev=0"
)


def test_a_disk_that_fills_up_is_named_and_the_next_start_completes(small_params, tmp_path):
    mount = 'mount -t tmpfs -o size=24m none "$1" && exec "$2" -c "$3" "$1" "$4"'
    words = ["unshare", "-rm", "sh", "-c", mount, "sh", tmp_path, sys.executable, GENERATION]
    done = subprocess.run(
        [*words, f"{small_params} {LARGE}"],
        capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": str(SOURCE)},
    )  # fmt: skip
    if done.returncode != 0 and "unshare" in done.stderr:
        pytest.skip(f"no namespaces here: {done.stderr}")
    assert done.returncode == 0, done
    assert "No space left on device" in done.stdout
    assert "the file system is full" in done.stdout
    assert "TEMPORARY 0" in done.stdout
    assert "resuming: " in done.stdout
    assert "COMPLETE 40" in done.stdout


def test_a_limit_on_the_size_of_files_is_named_and_the_next_start_completes(
    small_workload, small_params, root, tmp_path
):
    command = [sys.executable, "-m", "cm4storage"]
    subprocess.run(
        [*command, "workload", f"--params={small_params} {LARGE}", "--out=w.json"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    options = ["--workload=w.json", f"--data_dir={root.path}"]
    done = subprocess.run(
        [*command, "generate", *options], cwd=tmp_path, check=False, capture_output=True, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000)),
    )  # fmt: skip
    assert done.returncode == 3, done
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(root.path.rglob("*.tmp"))
    again = prepare(small_workload(LARGE), root, NoProgress(), lambda _line: None)
    assert again.manifest.files == 40


def server_of(folder):
    """Return the process of the embedded server that works in `folder`."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and (entry / "cwd").readlink() == folder:
                found.append(int(entry.name))
    (server,) = found
    return server


def test_a_server_that_dies_is_named_and_the_next_start_completes(
    small_workload, small_params, start_slowly, tmp_path
):
    params = "dataset.num_files_train=150"
    server_dir, workload = tmp_path / "server", small_workload(params)
    place = StoreLocation.parse(f"s3://{EMBEDDED_BUCKET}/x", server_dir=server_dir)
    identity = Identity.of(workload)
    own = place.child(identity.folder)
    process = start_slowly(f"{small_params} {params}", place)
    with open_store(own):  # keeps the server
        wait_for_journal(process, own, identity, 20)
        os.kill(server_of(server_dir), signal.SIGKILL)
        _, said = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "StorageFault" in said
    assert "the embedded server of this run has ended" in said or "has ended" in said
    lines = []
    made = prepare(workload, place, NoProgress(), lines.append)
    assert made.manifest.files == 150
    assert any(line.startswith("resuming: ") for line in lines)
    with open_dataset(workload, place) as dataset:
        assert not verify_contents(dataset.store, dataset.manifest, NoProgress(), 2).problems

"""What is measured on whole runs: generation, start, memory, and the cost per sample and per step.

Each function takes the folder to work in, the peer (or None), and the number of rounds, and returns
what `dlio` prints of it.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bare_loops
import numpy as np
import yaml

from cm4storage.core.progress import NoProgress
from cm4storage.dataset.foreign import open_foreign
from cm4storage.dataset.preparation import prepare
from cm4storage.loader.limits import Limits
from cm4storage.loader.plugins import Plugins
from cm4storage.loader.running import Trainer
from cm4storage.ranks.communicator import SingleProcess
from cm4storage.storage.location import StoreLocation
from cm4storage.workload.plan import Plan, Split
from cm4storage.workload.resolve import Request, resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dlio_peer import Peer

    from cm4storage.workload.model import Workload

MIB = 2**20
SAMPLE_BYTES = 4096
FEW, MANY, PEER_MANY = 256, 65_536, 4_096
MILLION = 1_000_000
LINKS = 50_000  # ext4 allows 65,000 links of one file


def small(files: int, length: int, **keys: object) -> dict[str, Any]:
    """Return an npz workload without computation; `keys` go to its reader."""
    return {
        "model": "whole",
        "framework": "pytorch",
        "workflow": {"generate_data": False, "train": True},
        "dataset": {"format": "npz", "num_files_train": files, "record_length": length},
        "reader": {"data_loader": "pytorch", "batch_size": 4, "read_threads": 2, **keys},
        "train": {"epochs": 1, "computation_time": 0},
    }


def workload_of(document: dict[str, Any], folder: Path) -> Workload:
    """Return our workload of a document."""
    path = folder / "whole.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return resolve(Request(config=path)).workload


def generation(folder: Path, peer: Peer | None, rounds: int) -> str:
    """Compare the generation of 64 npz files of 8 MiB, in MB/s."""
    document, rates = small(64, 8 * MIB), {"ours": [], "wheel": [], "bare loop": []}
    total_mb = 64 * 2896**2 / 1e6
    for _ in range(rounds):
        for name, seconds in _generations(document, folder, peer):
            rates[name].append(total_mb / seconds)
    ours = rates["ours"]
    lines = [f"{name} {_spread(values)} MB/s" for name, values in rates.items() if values]
    for name, target in (("wheel", 5), ("bare loop", 0.7)):
        if rates[name]:
            ratios = [a / b for a, b in zip(ours, rates[name], strict=True)]
            lines.append(f"ours / {name} {_spread(ratios)}, at least {target}")
    return "; ".join(lines)


def _generations(
    document: dict[str, Any], folder: Path, peer: Peer | None
) -> Iterator[tuple[str, float]]:
    with _empty(folder / "data") as data:
        begin = time.perf_counter()
        root = StoreLocation.parse(str(data))
        prepare(workload_of(document, folder), root, NoProgress(), lambda _line: None)
        yield "ours", time.perf_counter() - begin
    yield "bare loop", min(_bare_generation(folder / "data", threads) for threads in (1, 2))
    if peer is None:
        return
    with _empty(folder / "data") as data:
        wanted = document | {"workflow": {"generate_data": True, "train": False}}
        wanted["dataset"] = document["dataset"] | {"data_folder": str(data)}
        done = peer.run(wanted, "generate")
        texts = ("Starting data generation", "Generation done")
        begin_at, end_at = (_logged(done.folder / "dlio.log", text) for text in texts)
        yield "wheel", (end_at - begin_at).total_seconds()


def _bare_generation(folder: Path, threads: int) -> float:
    with _empty(folder) as data:
        return bare_loops.write_prepared(data, 2896**2, 64, threads)


def _logged(log: Path, text: str) -> datetime:
    found = re.search(rf"(\S+) {text}", log.read_text(encoding="utf-8"))
    if found is None:
        raise RuntimeError(f"{log} does not say: {text}")
    return datetime.fromisoformat(found.group(1))


@contextmanager
def _empty(folder: Path) -> Iterator[Path]:
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def start(folder: Path, peer: Peer | None, rounds: int) -> str:
    """Return the time from the start of the process to its first batch."""
    document, ours, others = small(16, MIB), [], []
    with _data_set(document, folder) as (workload, data):
        _own_run(folder, data)  # compiles the modules
        for _ in range(rounds):
            ours.append(_own_start(folder, data))
            if peer:
                others.append(_peer_start(document, peer, data))
    del workload
    wheel = f"; wheel {_spread(others)} s" if others else ""
    return f"ours {_spread(ours)} s, under 0.25{wheel}"


def _own_start(folder: Path, data: Path) -> float:
    begin, record = _own_run(folder, data)
    first = record["epochs"][0]
    started = (datetime.fromisoformat(first["start"]) - begin).total_seconds()
    return started + float(first["wait_s"][0])


def _own_command(folder: Path, data: Path, *more: str) -> list[str]:
    workload, results = folder / "whole.json", folder / "results"
    resolve(Request(config=folder / "whole.yaml")).save(workload)
    return [
        sys.executable, "-m", "cm4storage", "run", f"--workload={workload}", f"--data_dir={data}",
        "--foreign", f"--results_dir={results}", f"--result_file={folder / 'result.json'}", *more,
    ]  # fmt: skip


def _own_run(folder: Path, data: Path) -> tuple[datetime, dict[str, Any]]:
    """Run, and return when the process was started and its record.

    The modules are compiled, as installed packages have them and checkouts may not.
    """
    environment = os.environ | {"PYTHONPYCACHEPREFIX": str(folder / "compiled")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = _own_command(folder, data)
    begin = datetime.now()  # noqa: DTZ005 - the record's times are local ones
    subprocess.run(command, check=True, capture_output=True, env=environment)
    run = Path(json.loads((folder / "result.json").read_text())["run_dir"])
    record: dict[str, Any] = json.loads((run / "run.json").read_text())
    return begin, record


def _peer_start(document: dict[str, Any], peer: Peer, data: Path) -> float:
    document["dataset"]["data_folder"] = str(data)
    begin = datetime.now()  # noqa: DTZ005 - as those of the wheel
    done = peer.run(document, "start")
    block = done.document("per_epoch_stats.json")["1"]["block1"]
    started = (datetime.fromisoformat(block["start"]) - begin).total_seconds()
    return started + float(done.document("0_output.json")["1"]["load"]["block1"][0])


def memory(folder: Path, peer: Peer | None, rounds: int) -> str:
    """Return the highest PSS of a run beyond its batches, of 1,000 and of a million files."""
    del rounds
    lines = []
    for files in (1_000, MILLION):
        document = small(files, SAMPLE_BYTES, batch_size=16)
        with _links(document, folder) as data:
            peak = _peak_pss_mb(_own_command(folder, data, "--max_steps=20000"), None)
            batches_mb = 16 * 3 * SAMPLE_BYTES / 1e6
            lines.append(f"ours {files:,} files {peak - batches_mb:.0f} MB")
            if peer and files <= 1_000:
                document["dataset"]["data_folder"] = str(data)
                peak = _peak_pss_mb(peer.command(document, "memory"), peer.environment)
                lines.append(f"wheel {files:,} files {peak - batches_mb:.0f} MB")
    return f"{'; '.join(lines)}; under 60 MB and flat"


def _peak_pss_mb(command: list[str], environment: dict[str, str] | None) -> float:
    """Run a command and return the highest sum of PSS of it and the processes below it."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process, peak_kib = subprocess.Popen(command, env=environment, **quiet), 0
    while process.poll() is None:
        peak_kib = max(peak_kib, sum(_pss_kib(pid) for pid in _family(process.pid)))
        time.sleep(0.01)
    if process.returncode:
        raise RuntimeError(f"exit code {process.returncode}: {command}")
    return peak_kib * 1024 / 1e6


def _family(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(each for child in children for each in _family(int(child)))]


def _pss_kib(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return int(found.group(1)) if found else 0


@contextmanager
def _data_set(document: dict[str, Any], folder: Path) -> Iterator[tuple[Workload, Path]]:
    """Generate the data set of a document; lend its workload and its folder."""
    workload = workload_of(document, folder)
    with _empty(folder / "data") as data:
        root = StoreLocation.parse(str(data))
        yield workload, prepare(workload, root, NoProgress(), lambda _line: None).location.path


@contextmanager
def _links(document: dict[str, Any], folder: Path) -> Iterator[Path]:
    """Lend a data set whose files are links of a few: a million of them in seconds."""
    few = document | {"dataset": document["dataset"] | {"num_files_train": 32}}
    with _data_set(few, folder) as (_, originals), _empty(folder / "links") as links:
        sources = sorted(originals.glob("train/*"))
        plan = Plan.of(workload_of(document, folder))
        for name in ("train", "valid"):
            (links / name).mkdir()
        for index in range(plan.count(Split.TRAIN)):
            os.link(sources[index // LINKS], links / plan.key(Split.TRAIN, index))
        yield links


def per_sample(folder: Path, peer: Peer | None, rounds: int) -> str:
    """Return how much more a sample costs among many files than among few."""
    ours = [_sample_us(folder, files, rounds, _own_pass) for files in (FEW, MANY)]
    bare = [_sample_us(folder, files, rounds, _bare_pass) for files in (FEW, MANY)]
    lines = [
        f"{name} {few:.1f} us of {FEW:,} files, {many:.1f} us of {MANY:,}"
        for name, (few, many) in (("ours", ours), ("bare loop", bare))
    ]
    more = (ours[1] - ours[0]) - (bare[1] - bare[0])
    lines.append(f"ours grows by {more:.1f} us more, at most 2")
    if peer:
        few, many = (_peer_sample_us(folder, files, peer) for files in (FEW, PEER_MANY))
        lines.append(f"wheel {few:.0f} us of {FEW:,} files, {many:.0f} us of {PEER_MANY:,}")
    return "; ".join(lines)


def _sample_us(
    folder: Path, files: int, rounds: int, one_pass: Callable[[Workload, Path, int], float]
) -> float:
    epochs = max(2, 16 * FEW // files)
    document = small(files, SAMPLE_BYTES, batch_size=16, read_threads=1)
    document["train"]["epochs"] = epochs
    with _data_set(document, folder) as (workload, data):
        seconds = [one_pass(workload, data, epochs) for _ in range(rounds)]
    return statistics.median(seconds) / files * 1e6


def _own_pass(workload: Workload, data: Path, epochs: int, plugins: Plugins | None = None) -> float:
    with open_foreign(workload, StoreLocation.parse(str(data))) as dataset:
        ranks, progress = SingleProcess(), NoProgress()
        trainer = Trainer(workload, dataset.store, ranks, progress, plugins=plugins)
        done = trainer.run(Limits(max_epochs=epochs)).epochs
    return statistics.median(epoch.duration_s for epoch in done[1:])


def _bare_pass(_workload: Workload, data: Path, epochs: int) -> float:
    buffers = bare_loops.Buffers(sorted(data.glob("train/*")), 16 * 3)
    return statistics.median(bare_loops.preadv_crc32(buffers, 1) for _ in range(epochs))


def _peer_sample_us(folder: Path, files: int, peer: Peer) -> float:
    document = small(files, SAMPLE_BYTES, batch_size=16, read_threads=0)
    document["train"]["epochs"] = 2
    with _data_set(document, folder) as (_, data):
        document["dataset"]["data_folder"] = str(data)
        return peer.run(document, "samples").epochs_s()[-1] / files * 1e6


def per_step(folder: Path, peer: Peer | None, rounds: int) -> str:
    """Return the cost of a step that waits for nothing: recording, accounting and hand-over."""
    del peer
    steps = 20_000
    document = small(steps, 64, batch_size=1, read_threads=1)
    document["dataset"]["format"], document["train"]["epochs"] = "synthetic", 3
    with _data_set(document, folder) as (workload, data):
        ready = [_own_pass(workload, data, 3, Plugins(loader=Ready)) for _ in range(rounds)]
        seconds = [_own_pass(workload, data, 3) for _ in range(rounds)]
    alone, with_reader = ([each / steps * 1e6 for each in times] for times in (ready, seconds))
    return f"{_spread(alone)} us, under 20; {_spread(with_reader)} us with the reader's"


class Ready:
    """A loader whose batches are there already."""

    def __init__(self, *_: object) -> None:
        self._batch = np.zeros((1, 64), np.uint8)

    def batches(self, _epoch: int, steps: int) -> Iterator[np.ndarray]:
        """Yield the same batch for every step."""
        return itertools.repeat(self._batch, steps)


def _spread(values: list[float]) -> str:
    middle, low, high = statistics.median(values), min(values), max(values)
    digits = 0 if middle >= 100 else 2
    return f"{middle:,.{digits}f} ({low:,.{digits}f} .. {high:,.{digits}f})"


WHOLE_RUNS = {
    "generate npz 64 x 8 MiB": generation,
    "start to first step": start,
    "memory (PSS)": memory,
    "cost per sample": per_sample,
    "cost per step": per_step,
}

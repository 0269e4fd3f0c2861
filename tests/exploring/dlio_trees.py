"""Trees of results as DLIO leaves them, made from steps by the formulas of the rounds.

numpy computes means and deviations here, as it does in DLIO.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import yaml

START = datetime(2024, 8, 20, 16, 0, 0)  # noqa: DTZ001 - DLIO writes local times without a zone
RECORD_LENGTH = 150_000
THRESHOLD = 0.5


@dataclass(frozen=True)
class Shape:
    """What kind of run is made."""

    ranks: int = 3
    epochs: int = 2
    blocks: tuple[int, ...] = (12,)
    formula: str = "v3.0"
    batch_size: int = 4
    evaluates: bool = False
    seed: int = 1
    skipped: int = 1


def block_figures(shape, rng, steps):
    """Return steps of one block of one rank, its duration, and its AU and throughput."""
    load = [rng.uniform(0.01, 0.3) for _ in range(steps)]
    compute = [rng.uniform(0.2, 0.22) for _ in range(steps)]
    process = [a + b + 1e-4 for a, b in zip(load, compute, strict=True)]
    duration = round(sum(process) + rng.uniform(0.1, 0.5), 6)
    total = duration - sum(process[: shape.skipped])
    au = sum(compute[shape.skipped :]) / total * 100
    rate = {
        "v1.0": steps / duration * shape.batch_size,
        "v2.0": (steps - 2) / total * shape.batch_size,
        "v3.0": (steps - shape.skipped) / total * shape.batch_size,
    }[shape.formula]
    return load, process, compute, duration, au, rate


def stamped(at_s):
    return (START + timedelta(seconds=at_s)).isoformat(timespec="microseconds")


def rank_files(shape, rank):
    """Return output, stats, and by epoch the figures of training and evaluation of one rank."""
    rng = random.Random(f"{shape.seed} {rank}")
    output, stats, train, evaluation = {"hostname": "h"}, {}, [], []
    at_s = 0.0
    for epoch in range(1, shape.epochs + 1):
        names = [f"block{place}" for place in range(1, len(shape.blocks) + 1)]
        counts = dict(zip(names, shape.blocks, strict=True))
        counts |= {"eval": 5} if shape.evaluates else {}
        parts = {key: {} for key in ("load", "proc", "compute", "throughput", "au")}
        noted = {"start": stamped(at_s)}
        for name, steps in counts.items():
            load, process, compute, duration, au, rate = block_figures(shape, rng, steps)
            values = (load, process, compute, rate, au)
            for key, value in zip(parts, values, strict=True):
                parts[key][name] = value
            noted[name] = {"start": stamped(at_s), "end": stamped(at_s + duration)}
            noted[name]["duration"] = f"{duration:.2f}"
            at_s += duration
        output[str(epoch)] = parts | {"end": stamped(at_s)}
        stats[str(epoch)] = noted | {"end": stamped(at_s), "duration": f"{at_s:.2f}"}
        weights = [counts[name] for name in names]
        train.append(
            [
                np.average([parts[k][n] for n in names], weights=weights)
                for k in ("au", "throughput")
            ]
        )
        if shape.evaluates:
            evaluation.append([parts["au"]["eval"], parts["throughput"]["eval"]])
    return output, stats, train, evaluation


def metrics(kind, of_ranks):
    """Return the metric part of a summary from the figures of all ranks and epochs."""
    figures = np.array(of_ranks)
    au, rate = figures[:, :, 0].mean(axis=0), figures[:, :, 1].sum(axis=0)
    mib = RECORD_LENGTH / 2**20
    return {
        f"{kind}_au_percentage": list(au),
        f"{kind}_au_mean_percentage": np.mean(au),
        f"{kind}_au_meet_expectation": "success" if np.mean(au) >= THRESHOLD * 100 else "fail",
        f"{kind}_au_stdev_percentage": np.std(au),
        f"{kind}_throughput_samples_per_second": list(rate),
        f"{kind}_throughput_mean_samples_per_second": np.mean(rate),
        f"{kind}_throughput_stdev_samples_per_second": np.std(rate),
        f"{kind}_io_mean_MB_per_second": np.mean(rate) * mib,
        f"{kind}_io_stdev_MB_per_second": np.std(rate) * mib,
    }


def training_run(folder, shape=None, *, config="dlio_config", prefix=True, settings=None):
    """Leave the files of a training run in `folder`, and return its summary."""
    shape = shape or Shape()
    folder.mkdir(parents=True)
    made = [rank_files(shape, rank) for rank in range(shape.ranks)]
    for rank, (output, stats, _, _) in enumerate(made):
        write(folder / f"{rank}_output.json", output)
        if prefix:
            write(folder / f"{rank}_per_epoch_stats.json", stats)
    if not prefix:
        write(folder / "per_epoch_stats.json", made[0][1])
    metric = metrics("train", [each[2] for each in made])
    if shape.evaluates:
        metric |= metrics("eval", [each[3] for each in made])
    files = 24
    summary = {
        "start": stamped(0), "num_accelerators": shape.ranks, "num_hosts": 1, "hostname": "h",
        "metric": metric, "num_files_train": files, "num_files_eval": 0, "num_samples_per_file": 1,
        "host_memory_GB": [64.0], "epochs": shape.epochs, "end": stamped(900),
        "data_size_per_host_GB": shape.ranks * files // shape.ranks * RECORD_LENGTH / 2**30,
    }  # fmt: skip
    write(folder / "summary.json", summary)
    write_config(folder / config, shape, settings or {})
    return summary


def write_config(folder, shape, settings):
    """Write the configuration, as Hydra does."""
    folder.mkdir(parents=True)
    workload = {
        "model": {"name": "unet3d"},
        "framework": "pytorch",
        "dataset": {"record_length": RECORD_LENGTH, "format": "npz"},
        "reader": {"batch_size": shape.batch_size, "read_threads": 2} | settings,
        "metric": {"au": THRESHOLD},
        "output": {"metric": {"exclude_start_steps": shape.skipped}},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump({"workload": workload}))
    (folder / "overrides.yaml").write_text("- workload=unet3d_h100\n")


def checkpoint_run(folder, ranks=2, operations=4):
    """Leave the files of a run of checkpoints in `folder`; return durations by kind and rank."""
    folder.mkdir(parents=True)
    rng, size = random.Random(7), 12.5
    durations = {}
    for rank in range(ranks):
        blocks = {}
        for kind in ("save", "load"):
            own = [rng.uniform(1, 3) for _ in range(operations)]
            durations[kind, rank] = own
            for number, duration in enumerate(own, 1):
                blocks[f"{kind}_ckpt{number}"] = {
                    "start": stamped(0), "end": stamped(duration), "duration": duration,
                    "throughput": size / duration,
                }  # fmt: skip
        write(folder / f"{rank}_per_epoch_stats.json", {"1": blocks})
    metric = {"checkpoint_size_GB": size}
    for kind in ("save", "load"):
        own = np.array(durations[kind, 0])
        metric |= {
            f"{kind}_checkpoint_io_mean_GB_per_second": np.mean(size / own),
            f"{kind}_checkpoint_io_stdev_GB_per_second": np.std(size / own),
            f"{kind}_checkpoint_duration_mean_seconds": np.mean(own),
            f"{kind}_checkpoint_duration_stdev_seconds": np.std(own),
        }
    write(folder / "summary.json", {"num_accelerators": ranks, "metric": metric, "epochs": 1})
    return durations


def write(path, document):
    path.write_text(json.dumps(document, default=float))


def change(path, edit):
    """Let `edit` change the document in a JSON file."""
    document = json.loads(path.read_text())
    edit(document)
    write(path, document)

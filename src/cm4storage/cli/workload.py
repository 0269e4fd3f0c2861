"""``cm4storage workload``: resolve a workload."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cm4storage.core.units import format_bytes, format_count
from cm4storage.workload import stock
from cm4storage.workload.plan import Plan
from cm4storage.workload.resolve import (
    DEFAULT_ACCELERATOR,
    DEFAULT_MODEL,
    Request,
    Resolved,
    resolve,
)

if TYPE_CHECKING:
    import argparse

    from cm4storage.report.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument("--list", action="store_true", help="name the stock workloads and exit")
    parser.add_argument(
        "--model", default="", help=f"stock model (default: {DEFAULT_MODEL}); not with --config"
    )
    parser.add_argument(
        "--accelerator", default="", help=f"its accelerator (default: {DEFAULT_ACCELERATOR})"
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="a DLIO YAML instead")
    parser.add_argument(
        "--scale", choices=("quick", "stock"),
        help="quick: fewer and smaller files; stock: the sizes of the YAML "
        "(default: quick, or stock with --config)",
    )  # fmt: skip
    parser.add_argument(
        "--params", default="", metavar='"KEY=VALUE ..."', help="overrides, by section.key"
    )
    parser.add_argument("--seed", type=int, help="takes the place of train.seed")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the workload file")


def execute(args: argparse.Namespace, console: Console) -> int:
    """Resolve the workload; write or describe it."""
    if args.list:
        console.show("\n".join(stock.names()))
        return 0
    resolved = resolve(
        Request(
            model=args.model,
            accelerator=args.accelerator,
            config=args.config,
            scale=args.scale or ("stock" if args.config else "quick"),
            params=args.params,
            seed=args.seed,
        )
    )
    if args.out is not None:
        resolved.save(args.out)
    console.say(describe(resolved))
    return 0


def describe(resolved: Resolved) -> str:
    """Return a few lines that say what a workload is."""
    workload = resolved.workload
    dataset, reader = workload.dataset, workload.reader
    files = format_count(dataset.num_files_train, f"{dataset.format} file")
    samples = format_count(dataset.num_samples_per_file, "sample")
    size = format_bytes(Plan.of(workload).payload_bytes())
    epochs = format_count(workload.train.epochs, "epoch")
    steps = format_count(workload.steps_per_epoch(), "step")
    threads = f"batch {reader.batch_size}, {format_count(reader.read_threads, 'read thread')}"
    computation = f"{workload.computation_time.mean_s:g} s of computation a step"
    lines = [
        f"workload {workload.name} ({workload.scale} scale) from {resolved.source}",
        f"  data set  {files} of {samples}, {size}",
        f"  training  {epochs} of {steps}, {threads}, {computation}",
    ]
    return "\n".join(lines + [f"  note: {note}" for note in resolved.notes])

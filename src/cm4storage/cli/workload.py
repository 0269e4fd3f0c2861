"""``cm4storage workload``: resolve a workload."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cm4storage.checkpoint.models.needs import checkpoint_needs
from cm4storage.cli import options
from cm4storage.core.units import format_bytes, format_count
from cm4storage.report.listing import table
from cm4storage.workload import stock
from cm4storage.workload.dialects import ANY
from cm4storage.workload.plan import Plan
from cm4storage.workload.resolve import (
    DEFAULT_ACCELERATOR,
    DEFAULT_MODEL,
    Request,
    resolve,
)

_COLUMNS = ("name", "format", "files", "sample", "batch", "step", "AU", "source")

if TYPE_CHECKING:
    import argparse

    from cm4storage.report.console import Console
    from cm4storage.workload.resolved import Resolved


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument("--list", action="store_true", help="list the stock workloads and exit")
    parser.add_argument(
        "--model",
        default="",
        metavar="MODEL|NAME",
        help=f"stock model, or the whole name of a stock workload (default: {DEFAULT_MODEL}); "
        "not with --config",
    )
    parser.add_argument(
        "--accelerator", default="", help=f"its accelerator (default: {DEFAULT_ACCELERATOR})"
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="a DLIO YAML instead")
    options.add_overrides(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the workload file")


def execute(args: argparse.Namespace, console: Console) -> int:
    """Resolve the workload; write or describe it."""
    if args.list:
        console.show(table(_COLUMNS, [_row(name) for name in stock.names()]))
        return 0
    resolved = resolve(options.request(args, model=args.model, config=args.config))
    description = describe(resolved)
    if args.out is not None:
        resolved.save(args.out)
    console.say(description)
    return 0


def _row(name: str) -> tuple[str, ...]:
    """Return the line of one stock workload; a dash where nothing is trained."""
    workload = resolve(Request(model=name)).workload
    dataset, source = workload.dataset, stock.origin(name)
    if workload.writes_checkpoints_only:
        return (name, "checkpoints", "-", "-", "-", "-", "-", source)
    files = f"{dataset.num_files_train:,}"
    if dataset.num_samples_per_file > 1:
        files += f" x {dataset.num_samples_per_file:,}"
    sample = format_bytes(dataset.sample_bytes)
    if not workload.workflow.train:
        return (name, dataset.format, files, sample, "-", "-", "-", source)
    step = f"{workload.computation_time.mean_s:g} s"
    threshold = f"{workload.au_threshold:.0%}"
    batch = str(workload.reader.batch_size)
    return (name, dataset.format, files, sample, batch, step, threshold, source)


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
    lines = [f"workload {workload.name} ({workload.scale} scale) from {resolved.source}"]
    if resolved.dialect != ANY and resolved.source not in stock.names():
        lines.append(f"  dialect   {resolved.dialect}")
    if not workload.writes_checkpoints_only:
        lines.append(f"  data set  {files} of {samples}, {size}")
    if workload.workflow.train:
        lines.append(f"  training  {epochs} of {steps}, {threads}, {computation}")
    if workload.writes_checkpoints_only:
        needs = checkpoint_needs(workload)
        size = f"{format_bytes(needs.checkpoint_bytes)} on {format_count(needs.ranks, 'rank')}"
        lines.append(f"  checkpoints of {size}: {needs.writes} written, {needs.reads} read")
    return "\n".join(lines + [f"  note: {note}" for note in resolved.notes])

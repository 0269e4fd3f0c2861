"""``cm4storage verify``: check a data set against its manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cm4storage.cli import options
from cm4storage.core.errors import StorageFault
from cm4storage.dataset import verification
from cm4storage.dataset.opening import open_dataset
from cm4storage.workload.resolved import load

if TYPE_CHECKING:
    import argparse

    from cm4storage.report.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    options.add_workload(parser)
    options.add_storage(parser)
    parser.add_argument(
        "--contents", action="store_true",
        help="also read every file and compare its digest; this warms the page cache",
    )  # fmt: skip


def execute(args: argparse.Namespace, console: Console) -> int:
    """Check names and sizes, and the bytes on request."""
    workload = load(args.workload).workload
    with open_dataset(workload, options.location(args)) as dataset:
        if args.contents:
            wrong = [
                f"{p.key}: {p.what}" for p in verification.damaged(dataset.store, dataset.manifest)
            ]
            if wrong:
                raise StorageFault("the data set is damaged", where="\n".join(wrong))
        console.show(
            f"{dataset.store.uri}: {dataset.manifest.files} files are as the manifest says"
        )
    return 0

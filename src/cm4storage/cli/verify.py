"""``cm4storage verify``: check a data set against its manifest."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING

from cm4storage.cli import options
from cm4storage.dataset.opening import open_unverified
from cm4storage.dataset.outputs import DATASET_THREADS
from cm4storage.dataset.verdict import verify_contents, verify_names
from cm4storage.dataset.verification import Sample
from cm4storage.workload.resolved import load

if TYPE_CHECKING:
    import argparse

    from cm4storage.dataset.opening import OpenDataset
    from cm4storage.dataset.verdict import Verdict
    from cm4storage.report.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    options.add_workload(parser)
    options.add_storage(parser)
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--contents", action="store_true",
        help="also read every file and compare its digest; this warms the page cache",
    )  # fmt: skip
    which.add_argument(
        "--sample",
        metavar="SHARE",
        help="the same for a random sample: so many files, or a share such as 5%%",
    )
    parser.add_argument(
        "--sample_seed", type=options.whole_number, metavar="S",
        help="choose the sample by this seed; default is another one each time, which is said",
    )  # fmt: skip
    options.add_threads(parser, "files are read at a time", DATASET_THREADS)
    parser.add_argument("--json", action="store_true", help="write the outcome as JSON")
    options.add_oplog(parser)
    options.add_result_file(parser)


def execute(args: argparse.Namespace, console: Console) -> int:
    """Check names and sizes, and the bytes on request; say what is wrong."""
    workload = load(args.workload).workload
    with (
        options.logged_location(args, "verify") as place,
        open_unverified(workload, place) as dataset,
    ):
        verdict = _verdict(args, console, dataset)
    options.write_result(args, verdict.to_json())
    if args.json:
        console.show(json.dumps(verdict.to_json(), indent=2))
    verdict.require_good()
    if not args.json:
        console.show(f"{verdict.uri}: {verdict.text()}")
    return 0


def _verdict(args: argparse.Namespace, console: Console, dataset: OpenDataset) -> Verdict:
    store, manifest = dataset.store, dataset.manifest
    sample = None
    if args.sample is not None:
        seed = secrets.randbelow(2**32) if args.sample_seed is None else args.sample_seed
        sample = Sample.parse(args.sample, manifest.files, seed)
    if sample is None and not args.contents:
        return verify_names(store, manifest)
    return verify_contents(store, manifest, console.progress(), args.threads, sample)

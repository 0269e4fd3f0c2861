"""Options that several verbs share."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import UsageError
from cm4storage.core.files import write_json_atomically
from cm4storage.core.units import format_count
from cm4storage.storage.location import StoreLocation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cm4storage.report.console import Console
    from cm4storage.workload.explain import Request


def add_workload(parser: argparse.ArgumentParser) -> None:
    """Declare ``--workload``."""
    parser.add_argument(
        "--workload", type=Path, required=True, metavar="FILE",
        help="workload file, made by: cm4storage workload --out=FILE",
    )  # fmt: skip


def add_storage(parser: argparse.ArgumentParser) -> None:
    """Declare where data are, and through which client: ``--data_dir`` and what belongs to it."""
    parser.add_argument(
        "--data_dir", required=True, metavar="PATH|URI",
        help="where data sets are kept: a folder, directio:///folder, s3://bucket/prefix "
        "or az://container/prefix",
    )  # fmt: skip
    add_service(parser)


def add_service(parser: argparse.ArgumentParser) -> None:
    """Declare through whom an object service is reached."""
    parser.add_argument(
        "--endpoint_url", metavar="URL",
        help="the endpoint of S3 or Azure; credentials come from the AWS_* or AZURE_STORAGE_* "
        "variables",
    )  # fmt: skip
    parser.add_argument(
        "--server_dir", type=Path, metavar="FOLDER",
        help="use an embedded server that keeps its data in this folder",
    )  # fmt: skip
    parser.add_argument(
        "--client", default="", metavar="NAME",
        help="the library that sends the requests: obstore (default), for S3 also boto3 or s3dlio, "
        "for Azure azure-storage-blob",
    )  # fmt: skip


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """Declare ``--scale``, ``--params``, ``--seed`` and ``--config-dir``."""
    parser.add_argument(
        "--scale", choices=("quick", "stock"),
        help="quick: fewer and smaller files; stock: the sizes of the YAML "
        "(default: quick, or stock for a file)",
    )  # fmt: skip
    parser.add_argument(
        "--params", default="", metavar='"KEY=VALUE ..."',
        help="overrides in Hydra's notation, by section.key",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, help="takes the place of train.seed")
    parser.add_argument(
        "--config-dir", "--config_dir", type=Path, metavar="FOLDER", dest="config_dir",
        help="where workloads, and the files that defaults lists name, are looked for first",
    )  # fmt: skip


def request(args: argparse.Namespace, *, model: str, config: Path | None) -> Request:
    """Return the request that the options of `add_overrides` make of a workload."""
    from cm4storage.workload.explain import Request  # needs YAML, and few verbs do

    return Request(
        model=model,
        accelerator=getattr(args, "accelerator", ""),
        config=config,
        scale=args.scale or ("stock" if config else "quick"),
        params=args.params,
        seed=args.seed,
        config_dir=args.config_dir,
    )


def say_retries(console: Console, retries: int) -> None:
    """Say that requests had to be sent again; nothing where none was."""
    if retries:
        was = "was" if retries == 1 else "were"
        console.say(f"{format_count(retries, 'request')} {was} sent again")


def add_result_file(parser: argparse.ArgumentParser) -> None:
    """Declare ``--result_file``."""
    parser.add_argument(
        "--result_file", type=Path, metavar="FILE", help="also write the outcome as JSON"
    )


def add_output(parser: argparse.ArgumentParser, what: str) -> None:
    """Declare ``--out=json``, which writes `what` to standard output, and nothing else there."""
    parser.add_argument(
        "--out", choices=("text", "json"), default="text",
        help=f"json: {what} to standard output, all else to standard error",
    )  # fmt: skip


def show_report(
    args: argparse.Namespace, console: Console, report: dict[str, Any], table: str
) -> None:
    """Show a report as ``--out`` says: as JSON, its table among the remarks, or as the table."""
    if args.out == "json":
        console.say(table)
        show_json(console, report)
    else:
        console.show(table)


def show_json(console: Console, document: dict[str, Any]) -> None:
    """Write a document to standard output."""
    console.show(json.dumps(document, indent=2, allow_nan=False))


def add_threads(parser: argparse.ArgumentParser, what: str, default: int) -> None:
    """Declare ``--threads``, of which `what` says what they do."""
    parser.add_argument(
        "--threads", type=positive, default=default, metavar="N",
        help=f"how many {what} (default: {default})",
    )  # fmt: skip


def choices(flag: str, text: str, known: Sequence[str]) -> tuple[str, ...]:
    """Return the words of a list with commas, each of which must be one of `known`.

    Raises
    ------
    UsageError
        For any other word.
    """
    words = tuple(word.strip() for word in text.split(",") if word.strip())
    for word in words:
        if word not in known:
            raise UsageError(f"{flag}: there is no {word}", advice=f"known: {', '.join(known)}")
    return words


def positive(text: str) -> int:
    """Read a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {text!r}")
    return int(text)


def whole_number(text: str) -> int:
    """Read a whole number of at least 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 0, not {text!r}")
    return int(text)


def location(args: argparse.Namespace) -> StoreLocation:
    """Return the location that the options of `add_storage` name."""
    server_dir = args.server_dir.absolute() if args.server_dir else None
    return StoreLocation.parse(
        args.data_dir,
        endpoint_url=args.endpoint_url,
        server_dir=server_dir,
        client=args.client,
    )


def add_oplog(parser: argparse.ArgumentParser) -> None:
    """Declare ``--oplog``."""
    parser.add_argument(
        "--oplog", type=Path, metavar="FILE",
        help="write one row per storage operation, as zstd-compressed TSV; "
        "cm4storage oplog FILE shows it",
    )  # fmt: skip


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Declare what cuts a training short, and how its data set is read."""
    parser.add_argument("--max_epochs", type=positive, help="stop after this many epochs")
    parser.add_argument("--max_steps", type=positive, help="at most this many steps an epoch")
    parser.add_argument(
        "--cold", action="store_true",
        help="evict the data set from the page cache before each epoch; local files only",
    )  # fmt: skip
    parser.add_argument(
        "--readers", choices=("threads", "processes"), default="threads",
        help="what the reader.read_threads readers are; processes, for files, do not share an "
        "interpreter, which counts where files are small (default: threads)",
    )  # fmt: skip


@contextlib.contextmanager
def logged_location(args: argparse.Namespace, verb: str) -> Iterator[StoreLocation]:
    """Give the location; what is done there goes to the file of ``--oplog``, if there is one."""
    place = location(args)
    if args.oplog is None:
        yield place
        return
    from cm4storage.storage.oplog import FileLog

    with FileLog(args.oplog, client_id=verb) as log:
        yield dataclasses.replace(place, log=log)


def write_result(args: argparse.Namespace, result: dict[str, Any]) -> None:
    """Write `result` where ``--result_file`` says."""
    if args.result_file is not None:
        write_json_atomically(args.result_file, result)


def own_command(words: int | None = None) -> list[str]:
    """Return the command of this process, with the search path without which it finds nothing.

    Parameters
    ----------
    words : int, optional
        How many of its arguments to take; default all.
    """
    arguments = sys.argv[1:] if words is None else sys.argv[1 : words + 1]
    command = [sys.executable, "-m", "cm4storage", *arguments]
    path = os.environ.get("PYTHONPATH", "")
    return ["env", f"PYTHONPATH={path}", *command] if path else command

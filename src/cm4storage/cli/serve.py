"""``cm4storage serve``: keep an embedded server in the foreground."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cm4storage.storage import embedded

if TYPE_CHECKING:
    import argparse

    from cm4storage.report.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument("kind", choices=("s3", "azure"), help="the server's protocol")
    parser.add_argument(
        "--server_dir", type=Path, required=True, metavar="FOLDER",
        help="where the server keeps its data",
    )  # fmt: skip
    parser.add_argument(
        "--show_credentials", action="store_true", default=None,
        help="print the credentials even where the output is no terminal",
    )  # fmt: skip


def execute(args: argparse.Namespace, console: Console) -> int:
    """Serve until Ctrl-C or SIGTERM."""
    del console
    embedded.serve_foreground(
        args.server_dir.absolute(),
        sys.stdout,
        kind=args.kind,
        show_credentials=args.show_credentials,
    )
    return 0

"""Options about the checkpoints of a training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cm4storage.cli import options

if TYPE_CHECKING:
    import argparse

_OPTIONS: Final = {
    "checkpoint_steps": "steps_between_checkpoints",
    "checkpoint_epochs": "epochs_between_checkpoints",
    "checkpoint_compression": "compression",
    "checkpoint_level": "compression_level",
    "checkpoint_async": "async",
    "checkpoint_fsync": "fsync",
    "checkpoint_keep_last": "keep_last",
    "checkpoint_on_error": "on_error",
    "checkpoint_container": "container",
    "checkpoint_dir": "checkpoint_dir",
}
"""What they are called in `CheckpointSettings`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare them; each of them switches checkpoints on."""
    parser.add_argument(
        "--checkpoint", action="store_true",
        help="write checkpoints, after steps or epochs as the workload says if nothing else does",
    )  # fmt: skip
    parser.add_argument(
        "--checkpoint_steps", type=options.positive, metavar="N", help="after every N steps"
    )
    parser.add_argument(
        "--checkpoint_epochs", type=options.positive, metavar="N", help="after every N epochs"
    )
    parser.add_argument(
        "--checkpoint_dir", metavar="PATH|URI",
        help="where they go (default: the workload's checkpoint_folder, below --data_dir)",
    )  # fmt: skip
    parser.add_argument(
        "--checkpoint_compression", choices=("none", "zstd"), help="of the files (default: none)"
    )
    parser.add_argument(
        "--checkpoint_level", type=options.positive, metavar="N", help="of zstd, 1 to 22"
    )
    parser.add_argument(
        "--checkpoint_container", choices=("safetensors", "torch"),
        help="format of the files (default: safetensors)",
    )  # fmt: skip
    parser.add_argument(
        "--checkpoint_async", action="store_true", default=None,
        help="write them in the background while the training goes on",
    )  # fmt: skip
    parser.add_argument(
        "--checkpoint_fsync", action="store_true", default=None,
        help="make file and folder durable before a checkpoint counts as written",
    )  # fmt: skip
    parser.add_argument(
        "--checkpoint_keep_last", type=options.positive, metavar="N",
        help="remove all but the newest N of this run",
    )  # fmt: skip
    parser.add_argument(
        "--checkpoint_on_error", choices=("stop", "warn"),
        help="what a checkpoint that cannot be written does (default: stop)",
    )  # fmt: skip


def given(args: argparse.Namespace) -> dict[str, Any] | None:
    """Return the options that were given; None where nobody asks for checkpoints."""
    values = {name: getattr(args, option) for option, name in _OPTIONS.items()}
    told = {name: value for name, value in values.items() if value is not None}
    if "compression_level" in told:
        told.setdefault("compression", "zstd")
    return told if told or args.checkpoint else None

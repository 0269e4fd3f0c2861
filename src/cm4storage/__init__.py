"""Reproducible MLPerf Storage benchmarking: workloads, storage, data sets, loader and results."""

from __future__ import annotations

# The name is what type checkers know; typing itself would take longer than all else here, and
# the recipe engine and the first moments of every command wait for this file.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cm4storage.api import (
        CheckpointPlugin,
        Conduct,
        Limits,
        Plugin,
        Plugins,
        Report,
        load_workload,
        run,
    )

__all__ = [
    "CheckpointPlugin",
    "Conduct",
    "Limits",
    "Plugin",
    "Plugins",
    "Report",
    "load_workload",
    "run",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import the Python interface when it is first used: the recipe engine must stay light."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from cm4storage import api

    return getattr(api, name)

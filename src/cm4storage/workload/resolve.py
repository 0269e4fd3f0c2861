"""From a stock name or a YAML file, a scale and overrides to a checked Workload."""

from __future__ import annotations

from cm4storage.workload.explain import (
    DEFAULT_ACCELERATOR,
    DEFAULT_MODEL,
    Explained,
    Request,
    explain,
)
from cm4storage.workload.problems import require_none
from cm4storage.workload.resolved import Resolved

__all__ = ["DEFAULT_ACCELERATOR", "DEFAULT_MODEL", "Request", "kept", "resolve"]


def resolve(request: Request) -> Resolved:
    """Return the checked workload that `request` asks for.

    Raises
    ------
    UserError
        For an unknown stock workload, a bad file or override, or a combination that cannot work.
    """
    explained = explain(request)
    require_none(list(explained.problems))
    return kept(explained)


def kept(explained: Explained) -> Resolved:
    """Return what is kept of a workload that was explained."""
    plain = explained.workload.settings()
    overrides = {path: plain[path] for path in explained.changed}
    return Resolved(
        explained.workload,
        explained.source,
        overrides,
        explained.notes,
        explained.dialect.name,
    )

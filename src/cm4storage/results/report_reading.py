"""Read ``report.json`` of this release and of older ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import UserError
from cm4storage.core.reading import read_json
from cm4storage.core.versions import check_version
from cm4storage.results.orders import of_first_alone
from cm4storage.results.report_files import SCHEMA, VERSION
from cm4storage.results.report_shape import require_shape

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEMA_FILE = Path(__file__).parent / "schemas" / "report.schema.json"
"""JSON Schema of the current version."""


def read_report(path: Path) -> dict[str, Any]:
    """Return the report in a file, in the form of the current version.

    Raises
    ------
    UserError
        If there is none, or a newer release wrote it.
    """
    try:
        document = read_json(path)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read the report: {error}", where=str(path)) from error
    return upgrade(document, str(path))


def upgrade(document: Any, where: str) -> dict[str, Any]:
    """Return a report in the form of the current version; what it does not know is null.

    Parameters
    ----------
    where : str
        Where it is from, for the text of an error.

    Raises
    ------
    UserError
        If it is no report, it is damaged, or a newer release wrote it.
    """
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise UserError(
            "this is no report of a run",
            where=where,
            advice="name the folder of a run, such as results/training/unet3d/run/<time>",
        )
    check_version(document.get("version"), VERSION, "the report", where)
    require_shape(document, where)
    report = dict(document)
    while report["version"] < VERSION:
        report = _STEPS[report["version"]](report)
    return report


_OF_CHECKPOINTS = (
    *("written", "failed", "size_bytes", "stored_bytes"),
    *("stall_mean_s", "stall_max_s", "write_mib_per_s"),
)


def _from_version_1(report: dict[str, Any]) -> dict[str, Any]:
    """Add what version 1 lacked: what the client spent, settings, versions, git, file system.

    The last reports of version 1 tell of checkpoints and plugins, the first ones do not.
    """
    versions = (report.get("host") or {}).get("versions", {})
    epochs = report.get("epochs") or [{}]
    unknown = dict.fromkeys(
        ("errors", "cpu_seconds", "cpu_seconds_per_gb", "peak_memory_bytes", "settings", "git",
         "file_system", "dl_driver_version"),
    )  # fmt: skip
    unknown_at_first: dict[str, Any] = {
        **dict.fromkeys(f"checkpoint_{name}" for name in _OF_CHECKPOINTS),
        "checkpoints": [],
        "plugins": {},
    }
    known = {
        "version": 2,
        "page_cache_before_percent": epochs[0].get("page_cache_before_percent"),
        "page_cache_after_percent": epochs[-1].get("page_cache_after_percent"),
        "cm4storage_version": versions.get("cm4storage"),
        "s3dlio_version": versions.get("s3dlio"),
    }
    timed: dict[str, Any] = {
        name: [{"cpu_seconds": None, "cpu_seconds_per_gb": None} | each for each in report[name]]
        for name in ("epochs", "evaluations")
        if name in report
    }
    return {**unknown_at_first, **report, **unknown, **known, **timed}


def _from_version_2(report: dict[str, Any]) -> dict[str, Any]:
    """Take the digest of the order for what it was: that of the first epoch."""
    digest, epochs = of_first_alone(report.get("access_order_digest"), report.get("epochs") or [])
    evaluations = [{"order_digest": None} | each for each in report.get("evaluations") or []]
    return {
        **report,
        "version": 3,
        "access_order_digest": digest,
        "epochs": epochs,
        "evaluations": evaluations,
    }


_STEPS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {
    1: _from_version_1,
    2: _from_version_2,
}
"""By version, what makes the next one of it."""

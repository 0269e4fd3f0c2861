"""The collection for programs: JSON with everything, CSV with one row for each run."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

from cm4storage.report.explore.columns import table_of

if TYPE_CHECKING:
    from cm4storage.results.collecting.model import Collection, Recomputation

SCHEMA = "cm4storage.exploration"
VERSION = 1


def as_json(collection: Collection) -> str:
    """Return the collection as strict JSON."""
    document = {
        "schema": SCHEMA,
        "version": VERSION,
        "runs": [
            {
                "run": run.name,
                "folder": str(run.folder),
                "source": run.source,
                "kind": run.kind,
                "state": run.state,
                "problems": list(run.problems),
                "identity": dict(run.identity),
                "parameters": dict(run.parameters),
                "metrics": dict(run.metrics),
                "recomputed": _recomputed(run.recomputation),
            }
            for run in collection.runs
        ],
        "reports": [
            {"report": report.name, "recomputed": _recomputed(report.recomputation)}
            for report in collection.reports
        ],
        "problems": list(collection.problems),
    }
    return json.dumps(document, indent=2, allow_nan=False)


def _recomputed(recomputation: Recomputation) -> dict[str, Any]:
    return {
        "verdict": recomputation.verdict,
        "agreeing": len(recomputation.figures) - len(recomputation.differing),
        "differing": [
            {"name": each.name, "published": each.published, "recomputed": each.recomputed}
            for each in recomputation.differing
        ],
        "missing": list(recomputation.missing),
    }


def as_csv(collection: Collection) -> str:
    """Return one row for each run; columns are the same parameters and metrics as on the page.

    What is the same in all runs has a column here, too.
    """
    table = table_of(collection)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*(column.key for column in table.columns), *table.common])
    for row in table.rows:
        writer.writerow([*row, *table.common.values()])
    return stream.getvalue().rstrip("\n")

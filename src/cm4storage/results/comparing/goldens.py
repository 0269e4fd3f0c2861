"""Reference reports: what a workload must give on any machine, and what it gave on one.

A golden is a JSON file with the request that it answers, and with those fields of the report that
the rules name. Its figures of time hold on the machine that they name, and nowhere else.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from cm4storage.core.errors import UserError
from cm4storage.core.files import write_text_atomically
from cm4storage.results.comparing.context import fields_of_context
from cm4storage.results.comparing.fields import subset

if TYPE_CHECKING:
    from pathlib import Path

    from cm4storage.results.comparing.rules import Rules

SCHEMA: Final = "cm4storage.golden"
VERSION: Final = 1
TRAINING: Final = "training"


@dataclass(frozen=True)
class Golden:
    """A reference report.

    Attributes
    ----------
    kind : str
        What is run: ``training``.
    workload, scale, params : str
        The stock workload, its scale, and overrides as ``--params`` has them.
    fields : tuple of str
        The names of all fields of the report, so that none is lost unnoticed.
    report : dict
        Those fields that the rules need.
    """

    kind: str
    workload: str
    scale: str
    params: str
    fields: tuple[str, ...] = ()
    report: dict[str, Any] | None = None

    @classmethod
    def from_document(cls, document: dict[str, Any], where: str) -> Golden:
        """Return the golden in a document.

        Raises
        ------
        UserError
            If it is of another version, or a part is missing.
        """
        if document.get("version") != VERSION:
            raise UserError(
                f"the golden has version {document.get('version')}; this release reads {VERSION}",
                where=where,
            )
        try:
            request = document["request"]
            return cls(
                request["kind"],
                request["workload"],
                request["scale"],
                request["params"],
                tuple(document.get("fields", ())),
                document.get("report"),
            )
        except (KeyError, TypeError) as error:
            raise UserError(f"the golden lacks {error}", where=where) from error

    def as_report(self) -> dict[str, Any]:
        """Return the report's fields, as comparing wants them."""
        return dict(self.report or {})

    def answered(self, report: dict[str, Any], rules: Rules) -> Golden:
        """Return the golden with the fields of `report` that `rules` need."""
        needed = (
            *(rule.field for rule in rules.equals),
            *(rule.field for rule in rules.figures),
            *fields_of_context(),
        )
        return replace(self, fields=tuple(sorted(report)), report=subset(report, needed))

    def text(self) -> str:
        """Return the content of the golden's file."""
        request = {
            "kind": self.kind,
            "workload": self.workload,
            "scale": self.scale,
            "params": self.params,
        }
        document: dict[str, Any] = {"schema": SCHEMA, "version": VERSION, "request": request}
        if self.report is not None:
            document |= {"fields": list(self.fields), "report": self.report}
        return json.dumps(document, indent=1, allow_nan=False) + "\n"

    def save(self, path: Path) -> None:
        """Write the golden."""
        write_text_atomically(path, self.text())

    def lost_fields(self, report: dict[str, Any]) -> list[str]:
        """Return the fields that the golden's report has, and `report` has not."""
        return sorted(set(self.fields) - set(report))


def load_golden(path: Path) -> Golden:
    """Read a golden.

    Raises
    ------
    UserError
        If the file is none.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read the golden: {error}", where=str(path)) from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise UserError("this is no golden", where=str(path))
    return Golden.from_document(document, str(path))

"""Reference reports: what a workload must give on any machine, and what it gave on one.

A golden is a JSON file with the request that it answers, and with those fields of the report that
the rules name. Its figures of time hold on the machine that they name, and nowhere else.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from cm4storage.core.errors import UserError
from cm4storage.core.files import write_text_atomically
from cm4storage.core.reading import read_json
from cm4storage.results.comparing.context import fields_of_context
from cm4storage.results.comparing.fields import subset, value_of
from cm4storage.results.report_shape import require_shape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from cm4storage.results.comparing.rules import Rules

SCHEMA: Final = "cm4storage.golden"
VERSION: Final = 1
TRAINING: Final = "training"
CHECKPOINTS: Final = "checkpoints"

_OF_THE_MACHINE: Final = ("host", "page_cache", "page_cache_before_percent")


@dataclass(frozen=True)
class Golden:
    """A reference report.

    Attributes
    ----------
    kind : str
        What is run: ``training``, or ``checkpoints`` that are written and read alone.
    workload, scale, params : str
        The stock workload, its scale, and overrides as ``--params`` has them.
    fields : tuple of str
        The names of all fields of the report, so that none is lost unnoticed.
    report : dict or None
        Those fields that the rules need; None where the request has not been answered yet.
    figures : dict
        By field, what the runs measured: the spread of several runs tells noise from change.
    """

    kind: str
    workload: str
    scale: str
    params: str
    fields: tuple[str, ...] = ()
    report: dict[str, Any] | None = None
    figures: Mapping[str, list[float | None]] = field(default_factory=dict)

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
            golden = cls(
                request["kind"],
                request["workload"],
                request["scale"],
                request["params"],
                tuple(document.get("fields", ())),
                document.get("report"),
                document.get("figures", {}),
            )
        except (KeyError, TypeError) as error:
            raise UserError(f"the golden lacks {error}", where=where) from error
        golden._require_shape(where)
        return golden

    def _require_shape(self, where: str) -> None:
        """Refuse parts that are not what they have to be."""
        request = (self.kind, self.workload, self.scale, self.params)
        damaged = {
            "request": not _are_texts(request),
            "fields": not _are_texts(self.fields),
            "report": not isinstance(self.report, (dict, type(None))),
            "figures": not _are_runs(self.figures),
        }
        for part, is_damaged in damaged.items():
            if is_damaged:
                raise UserError(f"the golden is damaged: its {part}", where=where)
        require_shape(self.report or {}, where)

    def as_reports(self) -> list[dict[str, Any]]:
        """Return one report for each run that was measured, as comparing wants them."""
        rows = zip(*self.figures.values(), strict=True)
        measured = [dict(zip(self.figures, row, strict=True)) for row in rows]
        return [{**(self.report or {}), **figures} for figures in measured or [{}]]

    def answered(self, reports: Sequence[dict[str, Any]], rules: Rules, where: str) -> Golden:
        """Return the golden with what `rules` need of the reports of one or more runs.

        Parameters
        ----------
        where : str
            Where it is from, for the text of an error.

        Raises
        ------
        UserError
            If the runs differ in what must be equal: then it would be that of the first by chance.
        """
        for rule in rules.equals:
            values = [value_of(report, rule.field) for report in reports]
            if any(value != values[0] for value in values):
                raise UserError(
                    f"runs of the same request differ in {rule.field}",
                    where=where,
                    meaning="what must be equal would be that of the first run, by chance",
                    advice="request a workload that does the same on every run",
                )
        needed = (*(rule.field for rule in rules.equals), *fields_of_context())
        measured = {
            rule.field: [_rounded(value_of(report, rule.field)) for report in reports]
            for rule in rules.figures
        }
        figures = {name: values for name, values in measured.items() if set(values) != {None}}
        return replace(
            self,
            fields=tuple(sorted(reports[0])),
            report=subset(reports[0], needed),
            figures=figures,
        )

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
            document |= {
                "fields": list(self.fields),
                "report": self.report,
                "figures": dict(self.figures),
            }
        return _indented(document) + "\n"

    def timeless_text(self) -> str:
        """Return the content without what depends on the machine and the moment."""
        every = (self.report or {}).items()
        report = {name: each for name, each in every if name not in _OF_THE_MACHINE}
        return replace(self, report=report, figures={}).text()

    def save(self, path: Path) -> None:
        """Write the golden."""
        write_text_atomically(path, self.text())

    def lost_fields(self, report: dict[str, Any]) -> list[str]:
        """Return the fields that the golden's report has, and `report` has not."""
        return sorted(set(self.fields) - set(report))


def _are_texts(values: Sequence[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _are_runs(figures: Any) -> bool:
    """Tell whether these are lists, as long as each other, of what runs have measured."""
    if not isinstance(figures, dict):
        return False
    rows = list(figures.values())
    if not all(isinstance(row, list) and len(row) == len(rows[0]) for row in rows):
        return False
    return all(isinstance(value, (int, float, type(None))) for row in rows for value in row)


def _rounded(value: Any) -> float | None:
    """Return a figure with the digits that a difference to be reviewed needs."""
    return None if value is None else float(f"{value:.5g}")


def _indented(document: dict[str, Any]) -> str:
    """Return JSON with a line for each value, and lists of numbers in one line."""
    text = json.dumps(document, indent=1, allow_nan=False)
    return re.sub(r"\[[^\[\]{}\"]*\]", _in_one_line, text)


def _in_one_line(found: re.Match[str]) -> str:
    return f"[{' '.join(found[0][1:-1].split())}]"


def load_golden(path: Path) -> Golden:
    """Read a golden.

    Raises
    ------
    UserError
        If the file is none.
    """
    try:
        document = read_json(path)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read the golden: {error}", where=str(path)) from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise UserError("this is no golden", where=str(path))
    return Golden.from_document(document, str(path))

"""``cm lint script`` and ``cm doc script``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from cm4storage.scripting.authoring.examination import Examination, examine, findings_of
from cm4storage.scripting.authoring.findings import (
    ChecksFailed,
    Finding,
    counted,
    shown_path,
    sorted_findings,
)
from cm4storage.scripting.authoring.selection import choose, current_folder
from cm4storage.scripting.console import Console
from cm4storage.scripting.request import is_on, wants_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cm4storage.scripting.actions import Surroundings


def lint_scripts(given: Mapping[str, Any], surroundings: Surroundings) -> dict[str, Any]:
    """Check recipes, and list what was found.

    Raises
    ------
    ChecksFailed
        If anything was.
    """
    console = console_of(given)
    findings: list[Finding] = []
    number = 0
    for selection in choose(given, surroundings):
        findings += sorted_findings(list(findings_of(examine(selection, given))))
        number += len(selection.chosen)
    here = current_folder()
    for each in findings:
        console.line(f"{shown_path(each.file, here)}:{each.line}: {each.rule}: {each.what}")
        if each.advice:
            console.line(f"    {each.advice}", style="dim")
    checked = counted(number, "recipe")
    result = {"recipes": number, "findings": [each.as_json() for each in findings]}
    if findings:
        raise ChecksFailed(f"{counted(len(findings), 'finding')} in {checked}", result)
    console.line(f"{checked}, no finding")
    return result


def document_scripts(given: Mapping[str, Any], surroundings: Surroundings) -> dict[str, Any]:
    """Write what follows from recipes' metadata; with ``--check``, only say what is out of date.

    Raises
    ------
    ChecksFailed
        If ``--check`` finds something, or if a page was written by hand or metadata is malformed.
    """
    is_check = is_on(given, "check")
    console = console_of(given)
    written: list[str] = []
    refused: list[str] = []
    current = 0
    for selection in choose(given, surroundings):
        examination = examine(selection, given)
        refused += _unreadable(examination)
        for document in examination.documents():
            shown = shown_path(document.path, current_folder())
            if document.is_current:
                current += 1
            elif document.is_written_by_hand:
                refused.append(f"{shown}: written by hand, and left as it is")
            else:
                written.append(str(document.path))
                if not is_check:
                    document.write()
                console.line(f"{'out of date' if is_check else 'written'}: {shown}")
    for line in refused:
        console.warning(line)
    console.line(f"{counted(current, 'file')} {'is' if current == 1 else 'are'} as they should be")
    result = {"out_of_date" if is_check else "written": written, "current": current}
    if refused or (is_check and written):
        number = len(refused) + len(written) * is_check
        raise ChecksFailed(
            f"{counted(number, 'file')} not as the metadata says",
            {**result, "refused": refused},
            advice="move what was written by hand into desc of the metadata, or remove the file"
            if refused
            else "cm doc script writes them",
        )
    return result


def _unreadable(examination: Examination) -> list[str]:
    chosen = examination.selection.chosen
    found = [each for each in examination.unreadable if each.file.parent in chosen]
    return [f"{shown_path(each.file, current_folder())}: {each.what}" for each in found]


def console_of(given: Mapping[str, Any]) -> Console:
    """Return where a call's lines go: not to stdout beside JSON, nowhere for an API's caller."""
    is_json = wants_json(given)
    is_called = given.get("out") == "con" or is_json
    return Console(
        sys.stderr if is_json else sys.stdout,
        is_silent=is_on(given, "s", "silent") or not is_called,
    )

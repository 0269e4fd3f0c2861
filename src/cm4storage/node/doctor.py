"""``cm doctor cm4storage``: look at everything that a run needs, and say how to mend it."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cm4storage.core.units import format_count
from cm4storage.node.folders import check_folder
from cm4storage.node.machine import check_machine
from cm4storage.node.packages import check_packages
from cm4storage.node.registration import Registration, check_registration
from cm4storage.scripting.console import Console
from cm4storage.scripting.request import refuse_unknown_options, shows_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cm4storage.node.findings import Finding
    from cm4storage.scripting.actions import Surroundings

_STYLES = {"ok": "dim", "warning": "warning", "problem": "bold"}


def examine(given: Mapping[str, Any], surroundings: Surroundings, repository: Path) -> Any:
    """Check the machine, show the findings, and return them as cmind's dictionary.

    Returns
    -------
    dict
        ``checks``, and ``return`` 1 with an ``error`` if something will not work.
    """
    refuse_unknown_options(given, (), "cm doctor cm4storage")
    findings = list(_findings(surroundings, repository))
    if shows_lines(given):
        _show(findings, Console(sys.stdout))
    result: dict[str, Any] = {"checks": [finding.as_json() for finding in findings]}
    problems = [finding for finding in findings if finding.status == "problem"]
    if problems:
        names = ", ".join(finding.name for finding in problems)
        result |= {"return": 1, "error": f"error: something will not work: {names}"}
    return result


def _findings(surroundings: Surroundings, repository: Path) -> Iterator[Finding]:
    cm_repos = surroundings.local_folder.parents[1]
    known = Registration(repository, surroundings.home, surroundings.repositories, cm_repos)
    yield from check_machine()
    yield from check_registration(known)
    yield from check_packages(repository, surroundings.cache)
    yield from check_folder("CM_REPOS", cm_repos, variable="CM_REPOS")
    yield from check_folder("TMPDIR", Path(tempfile.gettempdir()), variable="TMPDIR")


def _show(findings: list[Finding], console: Console) -> None:
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        line = f"{finding.status:<8} {finding.name:<{width}}  {finding.found}"
        console.line(line, style=_STYLES[finding.status])
        for label, text in (("means", finding.meaning), ("to do", finding.advice)):
            for number, part in enumerate(text.splitlines()):
                console.line(f"{'':9}{'' if number else label + ':':<7}{part}")
    counts = {status: sum(f.status == status for f in findings) for status in _STYLES}
    console.line()
    console.line(
        f"{format_count(len(findings), 'check')}: {format_count(counts['problem'], 'problem')}, "
        f"{format_count(counts['warning'], 'warning')}"
    )

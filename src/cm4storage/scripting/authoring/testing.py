"""``cm test script``."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import UserError
from cm4storage.scripting.authoring.cases import Case, cases_of
from cm4storage.scripting.authoring.examination import examine
from cm4storage.scripting.authoring.findings import ChecksFailed, counted
from cm4storage.scripting.authoring.lint import console_of
from cm4storage.scripting.authoring.selection import choose, query_of
from cm4storage.scripting.authoring.trials import Verdict, open_laboratory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cm4storage.scripting.actions import Surroundings
    from cm4storage.scripting.console import Console

_NAME_COLUMNS = 30


def run_tests(given: Mapping[str, Any], surroundings: Surroundings) -> dict[str, Any]:
    """Run the tests of recipes, and say what came of each.

    Raises
    ------
    ChecksFailed
        If one fails.
    UserError
        If there is no test to run.
    """
    console = console_of(given)
    cases = _chosen_cases(given, surroundings, console)
    if not cases:
        raise UserError(
            "there is no test to run",
            advice="add tests.run_inputs to the metadata: cm test script --help",
        )
    verdicts = []
    with open_laboratory(surroundings) as laboratory:
        for case in cases:
            verdict = laboratory.try_out(case)
            _show(verdict, console)
            verdicts.append(verdict)
    return _summed_up(verdicts, console)


def _chosen_cases(
    given: Mapping[str, Any], surroundings: Surroundings, console: Console
) -> list[Case]:
    variations = {f"_{name}" for name in query_of(given).variations}
    cases: list[Case] = []
    for selection in choose(given, surroundings):
        examination = examine(selection, given)
        unreadable = [e for e in examination.unreadable if e.file.parent in selection.chosen]
        if unreadable:
            raise UserError(unreadable[0].what, where=str(unreadable[0].file))
        for subject in examination.chosen:
            found = cases_of(subject.recipe)
            if not found:
                console.line(f"{'none':<8}{subject.recipe.alias:<{_NAME_COLUMNS}}  has no tests")
            cases += [case for case in found if variations <= set(case.variations)]
    return cases


def _show(verdict: Verdict, console: Console) -> None:
    note = verdict.skipped or f"{verdict.duration_s:.1f} s"
    name = f"{verdict.case.recipe.alias:<{_NAME_COLUMNS}}"
    styles = {"passed": "hit", "failed": "warning"}
    style = styles.get(verdict.outcome, "dim")
    console.line(f"{verdict.outcome:<8}{name}  {verdict.case.title}  ({note})", style=style)
    for problem in verdict.problems:
        console.line(f"        {problem}")
    if verdict.problems and verdict.log:
        console.line("        the last lines of what it printed:")
        for line in verdict.log:
            console.line(f"        | {line}".rstrip())


def _summed_up(verdicts: list[Verdict], console: Console) -> dict[str, Any]:
    counts = Counter(verdict.outcome for verdict in verdicts)
    parts = ", ".join(f"{counts[kind]} {kind}" for kind in ("passed", "failed", "skipped"))
    text = f"{counted(len(verdicts), 'test')}: {parts}"
    result = {
        "tests": [verdict.as_json() for verdict in verdicts],
        **{kind: counts[kind] for kind in ("passed", "failed", "skipped")},
    }
    if counts["failed"]:
        raise ChecksFailed(text, result)
    console.line(text)
    return result

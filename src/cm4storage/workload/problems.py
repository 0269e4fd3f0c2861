"""What is wrong with a workload, or worth knowing: collected, so that all can be shown at once."""

from __future__ import annotations

from typing import Literal

from cm4storage.core.errors import UserError
from cm4storage.core.records import asdict, dataclass

Level = Literal["error", "warning", "remark"]


@dataclass(frozen=True)
class Problem:
    """One finding.

    Attributes
    ----------
    level : {'error', 'warning', 'remark'}
        With an error nothing can run. A warning is what DLIO cannot run, or what has no effect. A
        remark is what DLIO itself would do otherwise.
    what, where, meaning, advice : str
        As in `StorageBenchmarkError`.
    """

    level: Level
    what: str
    where: str = ""
    meaning: str = ""
    advice: str = ""

    @classmethod
    def of(cls, error: UserError) -> Problem:
        """Return an error that was raised as a finding."""
        return cls("error", error.what, error.where, error.meaning, error.advice)

    def to_json(self) -> dict[str, str]:
        """Return it as plain values."""
        return asdict(self)


def require_none(problems: list[Problem]) -> None:
    """Raise the first error among `problems`, which says how many more there are.

    Raises
    ------
    UserError
    """
    errors = [problem for problem in problems if problem.level == "error"]
    if not errors:
        return
    first, more = errors[0], len(errors) - 1
    advice = [first.advice] if first.advice else []
    if more:
        others = "\n".join(f"also: {problem.what}" for problem in errors[1:4])
        advice.append(f"see all {more + 1} problems with: cm4storage validate\n{others}")
    raise UserError(first.what, where=first.where, meaning=first.meaning, advice="\n".join(advice))

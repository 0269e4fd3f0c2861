"""The tests that a recipe's metadata describes."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import UserError
from cm4storage.core.records import dataclass, field
from cm4storage.scripting.environment import exported_text
from cm4storage.scripting.metadata_files import nothing
from cm4storage.scripting.query import Query

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cm4storage.scripting.metadata import Recipe

# Keys of a run that are no inputs of the recipe.
_RESERVED = frozenset(("desc", "variations_list", "env", "const", "expect", "needs"))
_OF_OTHER_ENGINES = frozenset(("test_input_index", "disable_run_script"))


@dataclass(frozen=True)
class Expectation:
    """What a run must come to."""

    exit_code: int = 0
    env: Mapping[str, str] = field(default_factory=nothing)
    env_matches: Mapping[str, str] = field(default_factory=nothing)
    output: tuple[str, ...] = ()

    def problems(self, status: int, env: Mapping[str, Any], output: str) -> Iterator[str]:
        """Yield how a run differs from this."""
        if status != self.exit_code:
            yield f"the exit code is {status}, not {self.exit_code}"
            return  # whatever else is missing follows from that
        for name, wanted in self.env.items():
            if name not in env:
                yield f"{name} is not among the outputs"
            elif exported_text(env[name]) != wanted:
                yield f"{name} is {exported_text(env[name])!r}, not {wanted!r}"
        for name, pattern in self.env_matches.items():
            if not re.search(pattern, exported_text(env.get(name, ""))):
                yield f"{name} is {exported_text(env.get(name, ''))!r}: {pattern!r} is not in it"
        for text in self.output:
            if text not in output:
                yield f"{text!r} is not in what it prints"


@dataclass(frozen=True)
class Case:
    """One test of a recipe: one run.

    Parameters
    ----------
    recipe : Recipe
        What is tested.
    number : int
        The test's place among the recipe's tests, from 1 on.
    description : str
        What it shows.
    variations : tuple of str
        Those to switch on, each with its underscore, or ``-_`` in front.
    given : Mapping
        The inputs, as in cmind's input dictionary.
    expectation : Expectation
        What must come of it.
    needs : tuple of str
        Programs without which the test is skipped.
    """

    recipe: Recipe
    number: int
    description: str
    variations: tuple[str, ...]
    given: Mapping[str, Any]
    expectation: Expectation
    needs: tuple[str, ...] = ()

    @property
    def missing(self) -> list[str]:
        """The programs that this machine lacks."""
        return [name for name in self.needs if shutil.which(name) is None]

    @property
    def title(self) -> str:
        """The test's name for people."""
        variations = ",".join(self.variations)
        return " ".join(filter(None, (f"{self.number}:", variations, self.description)))


def cases_of(recipe: Recipe) -> list[Case]:
    """Return the tests of a recipe.

    Raises
    ------
    UserError
        If they are malformed.
    """
    tests = recipe.raw.get("tests") or {}
    inputs = tests.get("run_inputs") if isinstance(tests, dict) else None
    if not isinstance(tests, dict) or not isinstance(inputs or [], list):
        raise _malformed(recipe, "tests.run_inputs must be a list")
    found: list[Case] = []
    for run in inputs or []:
        if not isinstance(run, dict) or not isinstance(run.get("expect", {}), dict):
            raise _malformed(recipe, "an item of tests.run_inputs, and its expect, are mappings")
        for words in run.get("variations_list") or [""]:
            found.append(_case(recipe, len(found) + 1, run, str(words)))
    return found


def _case(recipe: Recipe, number: int, run: Mapping[str, Any], words: str) -> Case:
    given = {
        name: value
        for name, value in run.items()
        if name not in _RESERVED and name not in _OF_OTHER_ENGINES
    }
    given |= {name: run[name] for name in ("env", "const") if run.get(name)}
    needs = run.get("needs") or ()
    return Case(
        recipe=recipe,
        number=number,
        description=str(run.get("desc") or ""),
        variations=tuple(filter(None, Query.parse(words).text().split(","))),
        given=given,
        expectation=_expectation(recipe, run.get("expect") or {}),
        needs=tuple(needs.split(",") if isinstance(needs, str) else needs),
    )


def _expectation(recipe: Recipe, raw: Mapping[str, Any]) -> Expectation:
    for pattern in (raw.get("env_matches") or {}).values():
        try:
            re.compile(str(pattern))
        except re.error as error:
            raise _malformed(recipe, f"{pattern!r} is no regular expression: {error}") from error
    output = raw.get("output") or ()
    return Expectation(
        exit_code=int(raw.get("exit_code", 0)),
        env={name: exported_text(value) for name, value in (raw.get("env") or {}).items()},
        env_matches={n: str(value) for n, value in (raw.get("env_matches") or {}).items()},
        output=(output,) if isinstance(output, str) else tuple(map(str, output)),
    )


def _malformed(recipe: Recipe, rule: str) -> UserError:
    return UserError(rule, where=str(recipe.metadata_file), advice="cm lint script says more")

"""Recipes that cmx4mlops carries run unmodified, and put out what they put out there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from engines import describe
from real_recipes import REAL

if TYPE_CHECKING:
    from engines import Engine, Result
    from real_recipes import Real


@pytest.mark.parametrize("real", REAL, ids=lambda real: real.name)
def test_both_engines_agree(real: Real, real_results: dict[str, tuple[Result, Result]]) -> None:
    ours, original = real_results[real.name]
    assert describe(ours, original) == list(real.differs), f"ours: {ours}\noriginal: {original}"
    if real.must_work:
        assert ours.status == 0, ours.error


def test_our_automation_ran_the_recipes_of_cmx4mlops(
    engines: list[Engine], real_results: dict[str, tuple[Result, Result]]
) -> None:
    # Only our engine writes entries with a format; the original must have made none of these.
    assert real_results
    ours, original = (list(each.home.glob("cm/repos/local/cache/*/_cm.json")) for each in engines)
    assert len(ours) > 3
    assert len(original) > 3
    states = [each.with_name("cm-cached-state.json").read_text() for each in ours]
    assert all('"format"' in state for state in states)

"""Recipes of our own mean the same under this engine and under the original."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from engines import describe
from features_choice import CHOICE
from features_flow import FLOW

if TYPE_CHECKING:
    from engines import Result
    from feature import Feature

FEATURES = (*CHOICE, *FLOW)


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_both_engines_agree(
    feature: Feature, results: dict[str, list[tuple[Result, Result]]]
) -> None:
    for number, (ours, original) in enumerate(results[feature.name]):
        # A difference that is listed must be there: the list of reasons stays true.
        expected = list(feature.differs) if number in feature.differs_at else []
        call = feature.steps[number]
        assert describe(ours, original) == expected, f"{call}\nours: {ours}\noriginal: {original}"


def test_features_show_something(results: dict[str, list[tuple[Result, Result]]]) -> None:
    found = [ours for pairs in results.values() for ours, _ in pairs]
    assert len([each for each in found if each.status == 0 and each.phases]) > 80
    assert len([each for each in found if each.status != 0]) > 10

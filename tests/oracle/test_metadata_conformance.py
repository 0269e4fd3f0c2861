"""Every recipe of cmx4mlops, with each variation, resolves as it does under the original."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from metadata_probe import choices, original_resolution, our_resolution, recipes_of, step_of

if TYPE_CHECKING:
    from pathlib import Path

    from engines import Engine
    from metadata_probe import Resolution

Pairs = dict[tuple[str, str], tuple["Resolution", "Resolution"]]

UNLOADABLE = "can't load Python module"
"""The original loads customize.py even under fake_run, and some need modules or do not parse."""

REASONS = {
    "two in one list": "two dependencies in one list both run, though they share names or tags",
    "one value": "a single value in a condition means a list of one, not of its letters",
    "exclusive": "two variations of one group are an error, however they come together",
    "default version": "the default version changes dependencies as the same version asked for",
    "not a mapping": "what is no mapping under adr names no dependency, and fails no run",
    "empty": "an empty env is an empty one",
}

DIFFERENT = {
    "app-mlperf-automotive-mlcommons-python": "empty",
    "app-mlperf-inference-amd": "two in one list",
    "app-mlperf-inference-intel": "two in one list",
    "app-mlperf-inference-mlcommons-python": "two in one list",
    "build-mlperf-inference-server-nvidia": "default version",
    "get-ml-model-efficientnet-lite": "exclusive",
    "get-ml-model-retinanet-nvidia": "one value",
    "prepare-training-data-resnet": "two in one list",
}
"""Recipe -> the reason why some of its variations resolve differently."""


@pytest.fixture(scope="module")
def resolutions(engines: list[Engine], original_repository: Path) -> Pairs:
    asked = [
        (recipe, name) for recipe in recipes_of(original_repository) for name in choices(recipe)
    ]
    found = engines[1].run_raw([step_of(recipe, name) for recipe, name in asked])
    return {
        (recipe.alias, name): (our_resolution(recipe, name), original_resolution(each))
        for (recipe, name), each in zip(asked, found, strict=True)
    }


def test_all_recipes_resolve_alike(resolutions: Pairs) -> None:
    comparable = {
        place: pair for place, pair in resolutions.items() if UNLOADABLE not in pair[1].error
    }
    assert len(comparable) > 1500
    different = {place: pair for place, pair in comparable.items() if not pair[0].same_as(pair[1])}
    unexplained = {place: pair for place, pair in different.items() if place[0] not in DIFFERENT}
    assert unexplained == {}
    # The list of reasons stays true.
    assert sorted({alias for alias, _ in different}) == sorted(DIFFERENT)
    assert len(different) < 50


def test_no_recipe_meets_a_defect_of_ours(resolutions: Pairs) -> None:
    failed = {place: ours.error for place, (ours, original) in resolutions.items() if ours.failed}
    refused = {place for place, pair in resolutions.items() if pair[1].failed}
    unexpected = {place: error for place, error in failed.items() if place not in refused}
    assert {alias for alias, _ in unexpected} == {"get-ml-model-efficientnet-lite"}

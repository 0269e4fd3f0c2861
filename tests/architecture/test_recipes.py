"""Recipes keep the conventions that make them work under cm and beside other repositories."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from source_trees import ROOT, imports_of

METADATA = sorted((*ROOT.glob("script/*/_cm.yaml"), *ROOT.glob("automation/*/_cm.json")))
IN_YAML = [path for path in METADATA if path.suffix == ".yaml"]
RECIPES = sorted(path for path in (ROOT / "script").iterdir() if path.is_dir())
UID = re.compile(r"""^(?P<key>\w*uid):\s*(?P<value>.*?)\s*(?:#.*)?$""", re.MULTILINE)
QUOTED_UID = re.compile(r""""[0-9a-f]{16}"|'[0-9a-f]{16}'""")
NAME = re.compile(r"[a-z]+(?:-[a-z0-9]+)+")
PREFIX = "MLPERF_STORAGE_"

names = [path.name for path in RECIPES]


def new_env_keys(metadata: Any) -> list[str]:
    """Return all ``new_env_keys``, those of variations too."""
    if isinstance(metadata, dict):
        own = metadata.get("new_env_keys", [])
        return [*own, *(key for value in metadata.values() for key in new_env_keys(value))]
    return []


def test_there_are_recipes_and_automations() -> None:
    assert {path.parts[-3] for path in METADATA} == {"script", "automation"}


@pytest.mark.parametrize("path", IN_YAML, ids=lambda path: path.parent.name)
def test_identifiers_are_quoted(path: Any) -> None:
    # cmind crashes on an identifier of digits alone, which YAML reads as a number.
    found = UID.findall(path.read_text(encoding="utf-8"))
    assert {key for key, _ in found} >= {"uid", "automation_uid"}
    assert [value for _, value in found if not QUOTED_UID.fullmatch(value)] == []


def test_identifiers_and_aliases_are_unique() -> None:
    read = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in METADATA]
    for key in ("uid", "alias"):
        values = [each[key] for each in read]
        assert sorted(set(values)) == sorted(values)


@pytest.mark.parametrize("recipe", RECIPES, ids=names)
def test_recipe_is_named_verb_noun_as_its_folder(recipe: Any) -> None:
    assert NAME.fullmatch(recipe.name)
    assert yaml.safe_load((recipe / "_cm.yaml").read_text(encoding="utf-8"))["alias"] == recipe.name


@pytest.mark.parametrize("recipe", RECIPES, ids=names)
def test_recipe_gives_its_parent_exact_keys_of_the_project(recipe: Any) -> None:
    metadata = yaml.safe_load((recipe / "_cm.yaml").read_text(encoding="utf-8"))
    keys = new_env_keys(metadata)
    assert [key for key in keys if not key.startswith(PREFIX) or set("*?[") & set(key)] == []


@pytest.mark.parametrize("recipe", RECIPES, ids=names)
def test_recipe_hooks_know_nothing_of_cmind(recipe: Any) -> None:
    for file in recipe.glob("*.py"):
        assert [each for each in imports_of(file) if each.top in {"cmind", "mlc"}] == []

"""The JSON Schema of ``_cm.yaml`` is complete and explains itself."""

from __future__ import annotations

import ast
import json
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator
from recipe_books import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Iterator

ENGINE = CHECKOUT / "src" / "cm4storage" / "scripting"
SCHEMA = json.loads((ENGINE / "authoring" / "recipe.schema.json").read_text(encoding="utf-8"))

# The methods by which the engine reads a key of a recipe, a variation, a dependency or an input.
READERS = {"text", "flag", "number", "mapping", "texts", "text_lists", "mappings", "parts"}

# What CM's recipes use; counted in those that are public.
TOP = (
    "alias uid automation_alias automation_uid tags category cache deps new_env_keys variations "
    "input_mapping default_env prehook_deps versions env post_deps new_state_keys default_version "
    "input_description clean_files posthook_deps print_env_at_the_end name sort tags_help "
    "can_force_cache extra_cache_tags_from_env local_env_keys const tests "
    "valid_variation_combinations invalid_variation_combinations default_variation docker"
)
VARIATION = (
    "env group default_variations default deps new_env_keys base add_deps_recursive adr add_deps "
    "ad default_env state alias script_name"
)
DEPENDENCY = (
    "tags names enable_if_env skip_if_env enable_if_any_env skip_if_any_env env extra_cache_tags "
    "update_tags_from_env_with_prefix force_cache version version_min version_max force_env_keys "
    "inherit_variation_tags reuse_version update_tags_from_env dynamic"
)


def at(reference: str) -> dict[str, Any]:
    """Return the part of the schema that a ``$ref`` names."""
    part: Any = SCHEMA
    for name in reference.removeprefix("#/").split("/"):
        part = part[name]
    return dict(part)


def properties(part: Any, place: str = "") -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield every property that the schema names: its place, its name, and what is said of it."""
    if isinstance(part, dict):
        for name, value in (part.get("properties") or {}).items():
            yield f"{place}.{name}", name, value
        for name, value in part.items():
            yield from properties(value, f"{place}.{name}")


def test_it_is_a_schema_of_draft_2020_12() -> None:
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(SCHEMA)


def test_every_property_is_described() -> None:
    found = list(properties(SCHEMA))
    assert len(found) > 150
    undescribed = []
    for place, _, value in found:
        shown = value
        while "description" not in shown and "$ref" in shown:
            shown = at(shown["$ref"])
        if not shown.get("description", "").endswith("."):
            undescribed.append(place)
    assert undescribed == []


def test_every_reference_leads_somewhere() -> None:
    references = set()

    def collect(part: Any) -> None:
        if isinstance(part, dict):
            references.update([part["$ref"]] if isinstance(part.get("$ref"), str) else [])
            for value in part.values():
                collect(value)
        elif isinstance(part, list):
            for value in part:
                collect(value)

    collect(SCHEMA)
    assert references
    for reference in references:
        assert at(reference)


def test_every_key_that_the_engine_reads_is_in_it() -> None:
    tree = ast.parse((ENGINE / "metadata.py").read_text(encoding="utf-8"))
    read = {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in READERS
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }
    assert {"tags", "group", "minimum", "enable_if_any_env"} <= read
    assert read - {name for _, name, _ in properties(SCHEMA)} == set()


@pytest.mark.parametrize(
    ("part", "names"),
    [
        (SCHEMA, TOP),
        (SCHEMA["$defs"]["variation"], VARIATION),
        (SCHEMA["$defs"]["dependency"], DEPENDENCY),
    ],
    ids=["recipe", "variation", "dependency"],
)
def test_every_key_that_recipes_of_cm_use_is_in_it(part: dict[str, Any], names: str) -> None:
    assert set(names.split()) - set(part["properties"]) == set()
    assert part["additionalProperties"] is False

"""Imports point one way."""

from __future__ import annotations

import sys
from graphlib import TopologicalSorter

import pytest
from source_trees import (
    LIBRARY,
    UNKNOWN,
    Import,
    imports_of,
    python_files,
    ring_of,
    ring_of_file,
)

UPPER = frozenset({"loader", "dataset", "checkpoint", "report", "submission", "sweep"})
LOWER = frozenset({"workload", "storage", "formats", "ranks", "results", "plugins"})

MAY_IMPORT: dict[str, frozenset[str]] = {
    "core": frozenset(),
    "scripting": frozenset({"core"}),
    "node": frozenset({"core", "scripting"}),
    **{ring: LOWER | {"core"} for ring in LOWER},
    **{ring: UPPER | LOWER | {"core"} for ring in UPPER},
    "api": UPPER | LOWER | {"core"},
    "cli": UPPER | LOWER | {"api", "core"},
    "__main__": frozenset({"cli", "core"}),
    "__init__": frozenset({"api"}),  # only when a name of the Python interface is used
}
"""What each part of the library may import, beside itself and the bare package.

Parts of one layer may import each other, but not in a circle.
"""

STANDARD_LIBRARY = sys.stdlib_module_names | {"__future__"}


def _ours(found: list[Import]) -> list[Import]:
    return [each for each in found if each.top == "cm4storage"]


def _foreign(found: list[Import], allowed: frozenset[str] = frozenset()) -> list[Import]:
    return [each for each in found if each.top not in STANDARD_LIBRARY | allowed | {"cm4storage"}]


def _texts(found: list[Import]) -> list[str]:
    return list(map(str, found))


def test_every_part_of_the_library_has_a_place() -> None:
    parts = {ring_of_file(file) for file in LIBRARY.rglob("*.py")}
    assert parts - set(MAY_IMPORT) == set()


@pytest.mark.parametrize("ring", sorted(MAY_IMPORT))
def test_library_imports_point_one_way(ring: str) -> None:
    allowed = MAY_IMPORT[ring] | {ring, "cm4storage"}
    files = [file for file in LIBRARY.rglob("*.py") if ring_of_file(file) == ring]
    ours = [each for file in files for each in _ours(imports_of(file))]
    assert _texts([each for each in ours if ring_of(each.module) not in allowed]) == []


def test_core_needs_the_standard_library_only() -> None:
    for file in python_files("src/cm4storage/core"):
        # For mypy alone, which knows the module without its being installed; and a module of the
        # standard library whose name changes with the version.
        known = {"records.py": {"typing_extensions"}, "canonical.py": {"_sha2", "_sha256"}}
        allowed = frozenset(known.get(file.name, ()))
        assert _texts(_foreign(imports_of(file), allowed)) == []


def test_scripting_needs_pyyaml_and_the_standard_library_only() -> None:
    for file in python_files("src/cm4storage/scripting"):
        # Lint alone validates against a schema, and says how to get the library if it is missing.
        validates = file.parent.name == "authoring" and file.name == "schema.py"
        allowed = frozenset({"yaml", "jsonschema"} if validates else {"yaml"})
        assert _texts(_foreign(imports_of(file), allowed)) == []


def test_running_a_recipe_loads_nothing_for_authors() -> None:
    files = [*python_files("src/cm4storage/scripting"), *python_files("automation")]
    outside = [file for file in files if file.parent.name != "authoring"]
    found = [each for file in outside for each in imports_of(file) if ".authoring" in each.module]
    assert {each.file.name for each in found} == {"border.py"}  # inside a function, see there


def test_package_itself_imports_nothing_heavy() -> None:
    # The cmind process imports cm4storage.scripting, and with it this file.
    assert _texts(_foreign(imports_of(LIBRARY / "__init__.py"))) == []


def test_automations_reach_the_library_through_scripting() -> None:
    found = [each for file in python_files("automation") for each in imports_of(file)]
    assert found != []
    rings = {ring_of(each.module) for each in _ours(found)}
    assert rings <= {"scripting", "node", "core", "cm4storage"}
    assert _texts(_foreign(found, frozenset({"cmind"}))) == []


def test_recipes_import_the_standard_library_only() -> None:
    found = [each for file in python_files("script") for each in imports_of(file)]
    assert found != []
    assert _texts(_ours(found) + _foreign(found)) == []


def test_node_needs_the_standard_library_only() -> None:
    for file in python_files("src/cm4storage/node"):
        assert _texts(_foreign(imports_of(file))) == []


def test_library_does_not_import_cmind() -> None:
    found = [each for file in python_files("src") for each in imports_of(file)]
    assert _texts([each for each in found if each.top == "cmind"]) == []


def test_no_import_hides_behind_a_computed_name() -> None:
    found = [each for file in python_files("src", "script") for each in imports_of(file)]
    assert _texts([each for each in found if each.module == UNKNOWN]) == []


def test_parts_of_the_library_do_not_import_in_a_circle() -> None:
    edges: dict[str, set[str]] = {}
    for file in LIBRARY.rglob("*.py"):
        targets = {ring_of(each.module) for each in _ours(imports_of(file))}
        edges.setdefault(ring_of_file(file), set()).update(targets)
    graph = {ring: targets & set(edges) - {ring} for ring, targets in edges.items()}
    # Raises CycleError, which names the circle.
    assert set(TopologicalSorter(graph).static_order()) >= {"cli", "core"}

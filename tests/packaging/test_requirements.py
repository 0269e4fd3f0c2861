"""The recipe that makes an environment asks for what the package asks for."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import yaml

CHECKOUT = Path(__file__).resolve().parents[2]


def of_package(extra):
    """Return the package's requirements without an extra, or those of one extra."""
    found = set()
    for line in metadata.requires("cm4storage") or []:
        requirement, _, marker = line.partition(";")
        if (f'extra == "{extra}"' in marker.replace("'", '"')) if extra else not marker:
            found.add(requirement.strip())
    return found


def specifiers(requirement):
    """Return a requirement's parts: tools write them in another order."""
    return set(requirement.replace("<", ",<").replace(">", ",>").split(","))


def test_the_recipe_asks_for_what_the_package_asks_for():
    path = CHECKOUT / "script" / "get-cm4storage-python" / "_cm.yaml"
    recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    base = set(recipe["env"]["MLPERF_STORAGE_REQUIREMENTS"].split())
    # These two are needed where cm runs, not where the work is done.
    of_cm = ("cmind", "jsonschema")
    assert base == {line for line in of_package("") if not line.startswith(of_cm)}
    for extra in ("s3", "azure"):
        env = recipe["variations"][extra]["env"]
        assert set(env["MLPERF_STORAGE_EXTRA_REQUIREMENTS"].split()) == of_package(extra)
    s3dlio = recipe["variations"]["client.s3dlio"]["env"]["MLPERF_STORAGE_CLIENT_REQUIREMENTS"]
    assert specifiers(s3dlio) == specifiers(*of_package("s3dlio"))

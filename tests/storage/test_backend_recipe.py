"""What the recipe that sets up a backend decides, beside what the library makes of the same."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from cm4storage.storage.objects import azure_service, s3_settings

RECIPE = Path(__file__).parents[2] / "script" / "setup-storage-backend" / "customize.py"
KNOWN = {
    "AWS_ACCESS_KEY_ID": "AK",
    "AWS_SECRET_ACCESS_KEY": "SK",
    "AZURE_STORAGE_ACCOUNT": "mine",
    "AZURE_STORAGE_KEY": "a2V5",
}
CONNECTION = "AccountName=mine;AccountKey=a2V5;BlobEndpoint=https://example.org"
NAMES = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    "azure": (
        "AZURE_STORAGE_ENDPOINT",
        "AZURE_STORAGE_SERVICE_ENDPOINT",
        "AZURE_STORAGE_CONNECTION_STRING",
    ),
}


def value_of(name: str) -> str:
    return CONNECTION if name.endswith("STRING") else "https://example.org"


def endpoint_in(backend: str, environment: dict[str, str]) -> str | None:
    """Return the endpoint that the library takes from an environment."""
    if backend == "s3":
        return s3_settings.read(None, environment).endpoint_url
    return azure_service.from_environment(None, environment).endpoint_url


@pytest.mark.parametrize(
    ("backend", "name"), [(backend, name) for backend, names in NAMES.items() for name in names]
)
def test_a_variable_that_names_an_endpoint_starts_no_server(
    monkeypatch: pytest.MonkeyPatch, backend: str, name: str
) -> None:
    """Else figures of the embedded server would pass for those of the service."""
    found = endpoint_in(backend, KNOWN | {name: value_of(name)})
    assert found is not None
    assert found.startswith("https://example.org")
    for names in NAMES.values():
        for each in names:
            monkeypatch.delenv(each, raising=False)
    env: dict[str, Any] = {"MLPERF_STORAGE_BACKEND": backend, "MLPERF_STORAGE_FOLDER": "/folder"}
    preprocess = runpy.run_path(str(RECIPE))["preprocess"]
    assert preprocess({"env": dict(env)}) == {"return": 0}
    monkeypatch.setenv(name, value_of(name))
    answer = preprocess({"env": dict(env)})
    assert answer["return"] == 1
    assert "an endpoint needs a" in answer["error"]


def test_recipe_and_library_know_the_same_variables() -> None:
    asked: set[str] = set()

    class Noting(dict[str, str]):
        def get(self, name: str, default: Any = None) -> Any:
            asked.add(name)
            return super().get(name, default)

    s3_settings.read(None, Noting(KNOWN))
    azure_service.from_environment(None, Noting(KNOWN))
    endpoints = {name for name in asked if "ENDPOINT" in name and "MSI" not in name}
    known = runpy.run_path(str(RECIPE))["ENDPOINTS"]
    named = {name for names in known.values() for name in names}
    assert endpoints - {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"} <= named
    assert named == {name for names in NAMES.values() for name in names}

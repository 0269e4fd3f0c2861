"""``cm show script``, and the help of the commands for authors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from recipe_books import CM
    from rule_books import Book


def test_a_recipe_for_people(cm: CM) -> None:
    done = cm("show", "script", "--tags=get,storage,folder")
    assert done.returncode == 0, done.stdout + done.stderr
    for text in (
        "get-storage-folder: Get a folder in the CM cache that keeps data",
        "repository: cm4storage    uid: 54a39b9d9624a3ff",
        "cached: yes",
        "_file",
        "MLPERF_STORAGE_FOLDER         The folder, in the cache entry",
        "tests: 3",
    ):
        assert text in done.stdout


def test_a_recipe_as_json(cm: CM) -> None:
    done = cm("show", "script", "setup-storage-backend", "-j")
    [shown] = json.loads(done.stdout)["list"]
    assert shown["tags"] == ["setup", "storage", "backend"]
    assert shown["repository"] == "cm4storage"
    assert shown["inputs"][0]["name"] == "data_dir"
    assert shown["inputs"][0]["variable"] == "MLPERF_STORAGE_DATA_DIR"
    assert [each["name"] for each in shown["variations"] if each["default"]] == ["file"]
    assert shown["needs"][1]["recipe"] == "get-storage-folder"
    assert "MLPERF_STORAGE_DATA_URI" in shown["outputs"]
    assert shown["tests"] == 9


def test_all_recipes_of_a_repository(book: Book) -> None:
    book.write()
    broken = book.folder / "script" / "broken"
    broken.mkdir()
    (broken / "_cm.yaml").write_text("alias: [")
    done = book.cm("show", "script", "--repo=recipes")
    assert done.returncode == 0
    assert "get-thing: Get a thing" in done.stdout
    assert f"warning: {broken / '_cm.yaml'}: cannot read" in done.stdout


@pytest.mark.parametrize("action", ["add", "doc", "lint", "show", "test"])
def test_each_command_explains_itself(cm: CM, action: str) -> None:
    done = cm(action, "script", "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: cm {action} script")
    assert "Python API" not in done.stdout
    usage = cm("run", "script", "--help").stdout
    assert "cm show|add|lint|doc|test script" in usage

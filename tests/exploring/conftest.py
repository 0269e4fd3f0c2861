"""Collections of trees, and pages read by the standard library."""

from __future__ import annotations

import pytest

from cm4storage.results.collecting.collect import collect


@pytest.fixture
def tree(tmp_path):
    """Return the folder in which a test makes its tree."""
    folder = tmp_path / "tree"
    folder.mkdir()
    return folder


@pytest.fixture
def only_run(tree):
    """Return a function that collects the tree, and returns the one run in it."""

    def read(*roots, depth="all"):
        [run] = collect(list(roots) or [tree], depth).runs
        return run

    return read

"""A node on which this checkout is registered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from nodes import CHECKOUT, Node, new_node

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def node(tmp_path: Path) -> Node:
    found = new_node(tmp_path / "node")
    found.register(CHECKOUT)
    return found

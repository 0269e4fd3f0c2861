"""dlio-benchmark as the judge: skipped where no environment with it is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from dlio_peer import VARIABLE, Peer, peer_python


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = pytest.mark.skip(reason=f"{VARIABLE} names no Python with dlio_benchmark beside it")
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.dlio)
            item.add_marker(pytest.mark.timeout(900))
            if peer_python() is None:
                item.add_marker(missing)


@pytest.fixture
def peer(tmp_path: Path) -> Peer:
    """Return dlio-benchmark, working in a folder beside ours."""
    python = peer_python()
    assert python is not None
    return Peer(python, tmp_path / "peer")

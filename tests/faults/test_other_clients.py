"""Single cells of the fault table through other clients; the soak session makes whole tables."""

from __future__ import annotations

import pytest
from cells import Cell, run
from proxy import Fault
from worlds import WORLDS, world_of

CELLS = (
    Cell(Fault.SHORT_ANSWER, "stat", "always"),  # a head that makes no sense
    Cell(Fault.ERROR_503, "read", "once"),
    Cell(Fault.FLIPPED_ANSWER, "read", "always"),
    Cell(Fault.SMALLER_ANSWER, "list", "once"),
)
EXPECTED = ("error", "right", "error", "right")


@pytest.mark.parametrize("name", ["s3-boto3", "azure-sdk", "azure-obstore"])
def test_no_wrong_data_and_no_traceback(request: pytest.FixtureRequest, name: str) -> None:
    world = world_of(name, request.getfixturevalue(f"{WORLDS[name][0]}_server"))
    outcomes = [run(world, cell) for cell in CELLS]
    assert tuple(outcome.kind for outcome in outcomes) == EXPECTED, outcomes
    assert "cannot look at the object" in outcomes[0].text

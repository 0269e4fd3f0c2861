"""The fault table: the right data or a clear error, within the limit; never a hang."""

from __future__ import annotations

import pytest
from cells import CELLS, HANG_S, NOT_SEEN, Cell, Outcome, as_table
from operations import OPERATIONS
from proxy import Fault

PASSING = {
    Fault.REFUSED,
    Fault.LOST_ANSWER,
    Fault.CUT_ANSWER,
    Fault.SHORT_ANSWER,
    Fault.SMALLER_ANSWER,
    Fault.SLOW_START,
    Fault.SLOW_MIDDLE,
    Fault.ERROR_500,
    Fault.ERROR_503,
    Fault.ERROR_503_HTML,
    Fault.CUT_REQUEST,
}
"""What does no harm when it happens once."""
IN_ONE_GO = set(OPERATIONS) - {"parts: a part", "parts: end"}
"""Operations whose requests can all be sent again."""


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_right_data_or_a_clear_error(outcomes: dict[Cell, Outcome], cell: Cell) -> None:
    outcome = outcomes[cell]
    assert outcome.kind in ("right", "error", "-", "not seen"), outcome
    assert outcome.elapsed_s < HANG_S, "it is an error, not a hang"
    if cell.turn == "once" and cell.fault in PASSING and cell.operation in IN_ONE_GO:
        assert outcome.kind in ("right", "-"), outcome
    if outcome.kind == "error":
        assert "cannot " in outcome.text or "not exist" in outcome.text, outcome
        assert " at http://127.0.0.1:" in outcome.text
        assert "to do: " in outcome.text


@pytest.mark.parametrize("fault", [Fault.FLIPPED_ANSWER, Fault.SMALLER_ANSWER, Fault.SHORT_ANSWER])
@pytest.mark.parametrize("operation", ["read", "read_into", "scatter"])
def test_harm_that_stays_is_an_error(
    outcomes: dict[Cell, Outcome], fault: Fault, operation: str
) -> None:
    assert outcomes[Cell(fault, operation, "always")].kind == "error"


def test_silence_is_called_silence(outcomes: dict[Cell, Outcome]) -> None:
    for fault in (Fault.SILENT_START, Fault.SILENT_MIDDLE):
        text = outcomes[Cell(fault, "read", "always")].text
        assert "cannot read the object: the service fell silent" in text


def test_what_is_not_seen_is_said(outcomes: dict[Cell, Outcome]) -> None:
    found = {(cell.fault, cell.operation) for cell in CELLS if outcomes[cell].kind == "not seen"}
    assert found <= NOT_SEEN
    assert "| not seen |" in as_table(outcomes, "always")

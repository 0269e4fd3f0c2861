"""Many first calls at once: cm alone sometimes fails there, behind bootstrap it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from checkouts import FIND

if TYPE_CHECKING:
    from checkouts import Checkout


@pytest.mark.soak
def test_fifty_first_calls_at_once(fresh: Checkout) -> None:
    processes = [fresh.start(*FIND) for _ in range(50)]
    outcomes = [(process.communicate(), process.returncode) for process in processes]
    assert {code for _, code in outcomes} == {0}, outcomes
    assert {out.splitlines()[0] for (out, _), _ in outcomes} == {fresh.automation}

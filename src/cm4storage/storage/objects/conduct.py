"""How a store treats its requests to an object service."""

from __future__ import annotations

from typing import Final

from cm4storage.core.records import dataclass
from cm4storage.core.units import KIB, MIB
from cm4storage.storage.store import RETRY_LIMIT_S

ALWAYS_VERIFIED_BYTES: Final = 64 * KIB
"""So small an object costs a request; its digest costs a thousandth of that."""


@dataclass(frozen=True)
class Conduct:
    """Retries, parts and verification.

    Attributes
    ----------
    retry_limit_s : float
        After this long no failed request is tried again.
    part_bytes : int
        Objects below this size are written by one request, others in parts of it.
    verifies : bool
        Compare what is read of whole objects with the digest that was stored beside them, or that
        is known from elsewhere. Objects of at most `ALWAYS_VERIFIED_BYTES` always are.
    """

    retry_limit_s: float = RETRY_LIMIT_S
    part_bytes: int = 16 * MIB
    verifies: bool = False

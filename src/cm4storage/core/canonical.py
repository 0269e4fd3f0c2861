"""Canonical JSON and the digests of identities.

Two values have one digest exactly when they are equal as JSON: keys are sorted, nothing is
concatenated without framing, and NaN is refused.
"""

from __future__ import annotations

import json
from typing import Any


def canonical_json(value: Any) -> str:
    """Return the one JSON text of `value`: sorted keys, no spaces, strict numbers.

    Raises
    ------
    TypeError, ValueError
        If `value` has a part that JSON cannot hold (NaN included).
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def digest(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON of `value`, in hex."""
    import hashlib  # brings OpenSSL along, which calls without a cache do not need

    return hashlib.sha256(canonical_json(value).encode()).hexdigest()

"""Canonical JSON and the digests of identities.

Two values have one digest exactly when they are equal as JSON: keys are sorted, nothing is
concatenated without framing, and NaN is refused.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

__all__ = ["canonical_json", "digest", "sha256"]

if TYPE_CHECKING:
    from hashlib import sha256
else:
    # hashlib loads OpenSSL, which takes longer than all the small digests of a run.
    try:
        from _sha256 import sha256  # Python 3.10 and 3.11
    except ImportError:
        try:
            from _sha2 import sha256
        except ImportError:
            from hashlib import sha256


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
    return sha256(canonical_json(value).encode()).hexdigest()

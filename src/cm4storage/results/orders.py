"""Digests of the orders in which a run's epochs read their samples."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any

from cm4storage.core.canonical import sha256

if TYPE_CHECKING:
    from collections.abc import Sequence


def over_epochs(digests: Sequence[str | None]) -> str | None:
    """Return one digest over the orders of epochs, by the digest of each; None: not known.

    It is a chain: that of the first epoch, then the SHA-256 of what was so far and the next one.
    So a run of one epoch has the digest of that.
    """
    known = [each for each in digests if each is not None]
    if not known or len(known) < len(digests):
        return None
    return reduce(lambda so_far, each: sha256(f"{so_far}{each}".encode()).hexdigest(), known)


def of_first_alone(
    digest: str | None, epochs: Sequence[dict[str, Any]]
) -> tuple[str | None, list[dict[str, Any]]]:
    """Return the digest over all epochs, and the epochs with theirs, where one knew the first only.

    Parameters
    ----------
    digest : str or None
        That of the first epoch, which older releases wrote down alone.
    epochs : sequence of dict
        The epochs of a record or a report.
    """
    digests = [digest, *[None] * (len(epochs) - 1)] if epochs else []
    told = [{**epoch, "order_digest": d} for epoch, d in zip(epochs, digests, strict=True)]
    return over_epochs(digests), told

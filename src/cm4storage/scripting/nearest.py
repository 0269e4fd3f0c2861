"""The known word that an unknown one was probably meant to be."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def nearest(word: str, known: Iterable[str], *, likeness: float = 0.6) -> str:
    """Return the word of `known` most like `word`; "" if none is at least that like it.

    >>> nearest("resnet5", ["unet3d", "resnet50"])
    'resnet50'
    """
    import difflib  # only errors need it

    return next(iter(difflib.get_close_matches(word, known, 1, likeness)), "")

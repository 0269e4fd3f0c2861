"""How the sections declare a key: default, range, older names, and whether it has an effect."""

from __future__ import annotations

from typing import Any, Literal

from cm4storage.core.records import field

Shuffle = Literal["off", "seed", "random"]

MOST_FILES = 10**9
MOST_SAMPLES_IN_A_FILE = 10**10
MOST_AT_ONCE = 10**6
LARGEST_BYTES = 2.0**46

UNUSED_BY_DLIO = "DLIO reads this key and does nothing with it"


def setting(
    default: Any,
    *,
    aliases: tuple[str, ...] = (),
    minimum: float | None = None,
    maximum: float | None = None,
    done: bool = True,
    path: str = "",
    inert: str = "",
) -> Any:
    """Declare one key of a section.

    Parameters
    ----------
    default : Any
        What DLIO's code uses when the key is absent.
    aliases : tuple of str
        Names of the same value in other dialects; a full path where it begins with a section.
    minimum, maximum : float, optional
        The allowed range, both ends included; of each item where the value is a list.
    done : bool
        False where a value other than the default is accepted but has no effect yet.
    path : str
        The key's name below its section where it is not the field's, such as ``hdf5.chunk_dims``.
    inert : str
        Why the key has no effect, in DLIO as here; a note wherever the key is given.
    """
    return field(
        default=default,
        metadata={
            "aliases": aliases,
            "minimum": minimum,
            "maximum": maximum,
            "done": done,
            "path": path,
            "inert": inert,
        },
    )

"""What is wrong within a file, said by parts that do not know the file's name."""

from __future__ import annotations


class Damage(ValueError):
    """Damaged data.

    Parameters
    ----------
    what : str
    offset : int
        The byte within the file.
    """

    def __init__(self, what: str, offset: int = 0) -> None:
        super().__init__(what)
        self.what = what
        self.offset = offset

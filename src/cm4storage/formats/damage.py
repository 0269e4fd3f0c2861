"""What is wrong within a file, said by parts that do not know the file's name."""

from __future__ import annotations

from cm4storage.formats.format import CorruptFile


class Damage(ValueError):
    """Damaged data.

    Parameters
    ----------
    what : str
    offset : int
        The byte within the file.
    record : int, optional
        The first sample that is lost.
    """

    def __init__(self, what: str, offset: int = 0, record: int | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.offset = offset
        self.record = record


def corrupt_file(name: str, error: Exception) -> CorruptFile:
    """Return what is wrong with the file `name`, as precisely as `error` knows it."""
    if isinstance(error, Damage):
        return CorruptFile(name, error.what, offset=error.offset, record=error.record)
    return CorruptFile(name, str(error) or repr(error), offset=0)

"""The lines of a CSV text as samples, with or without names of columns and numbers of lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cm4storage.formats.damage import Damage
from cm4storage.formats.text_numbers import Numbers, WrongNumber, numbers_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

# A field without an end is no number, and shall not fill the memory.
_LONGEST_FIELD_BYTES = 1000


class CsvLines:
    """Takes a text apart, block by block.

    Parameters
    ----------
    element_type : str

    Attributes
    ----------
    record : int
        The number of the line that is being read; that of names is not counted.
    """

    def __init__(self, element_type: str) -> None:
        self.record = 0
        self._element_type = element_type
        self._columns = 0
        self._position = 0
        self._begun: list[npt.NDArray[Any]] = []

    def samples(self, blocks: Iterable[bytes]) -> Iterator[memoryview]:
        """Yield the numbers of each line as bytes.

        Raises
        ------
        Damage
            Its offset counts from the text's start, without what `_Unnumbered` leaves out.
        """
        rest, unnumbered = b"", None
        for number, block in enumerate(blocks):
            if number == 0 and block.startswith(b","):
                unnumbered = _Unnumbered()
            text = rest + (unnumbered.kept(block) if unnumbered else block)
            if b"\r" in text:
                text = text.replace(b"\r\n", b"\n")
            end = max(text.rfind(b","), text.rfind(b"\n")) + 1
            rest = text[end:]
            if len(rest) > _LONGEST_FIELD_BYTES:
                raise Damage("a field does not end", self._position + end)
            if end:
                yield from self._whole_lines(self._numbers(text[:end]))
                self._position += end
        if rest or self._begun:
            raise Damage("the last line is cut off", self._position)

    def _numbers(self, text: bytes) -> Numbers:
        try:
            return numbers_in(text, self._element_type)
        except WrongNumber as wrong:
            column = wrong.column + (0 if wrong.line else sum(map(len, self._begun)))
            self.record += wrong.line
            what = f"{wrong.what}, in line {self.record + 1}, column {column + 1}"
            raise Damage(what, self._position + wrong.offset) from None

    def _whole_lines(self, numbers: Numbers) -> Iterator[memoryview]:
        import numpy as np

        start = 0
        for end in numbers.line_ends.tolist():
            values = numbers.values[start:end]
            if self._begun:
                values = np.concatenate([*self._begun, values])
                self._begun.clear()
            self._check_columns(len(values))
            yield values.view(np.uint8).data
            start, self.record = end, self.record + 1
        if start < len(numbers.values):
            self._begun.append(numbers.values[start:])

    def _check_columns(self, columns: int) -> None:
        self._columns = self._columns or columns
        if columns != self._columns:
            raise Damage(
                f"line {self.record + 1} has {columns} fields, those before have {self._columns}",
                self._position,
            )


class _Unnumbered:
    """Leaves out the first line, and of all others the first field."""

    def __init__(self) -> None:
        self._skip_to = b"\n"  # the character that ends what is left out

    def kept(self, block: bytes) -> bytes:
        """Return the rest of the next block."""
        kept, at = [], 0
        while at < len(block):
            at = self._skipped(block, at)
            end = block.find(b"\n", at) + 1
            kept.append(block[at : end or len(block)])
            if end:
                self._skip_to = b","
            at = end or len(block)
        return b"".join(kept)

    def _skipped(self, block: bytes, at: int) -> int:
        while self._skip_to:
            found = block.find(self._skip_to, at)
            if found < 0:
                return len(block)
            at = found + 1
            self._skip_to = b"," if self._skip_to == b"\n" else b""
        return at

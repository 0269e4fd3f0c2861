"""Numbers as text between commas and line ends: written and read many at a time.

Small integers are taken apart by place value in numpy, several times faster than by a parser that
looks at one character after the other; other types by Arrow's casts, which round correctly and
refuse what does not fit. Both free the interpreter's lock.
"""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from cm4storage.formats.damage import Damage

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

COMMA, NEWLINE = 0x2C, 0x0A
_ZERO = 0x30
_LONGEST_SHOWN = 24
# The most characters of a number: a sign, digits, a point, an exponent.
_MOST_DIGITS = {
    "bool": 1, "uint8": 3, "int8": 4, "uint16": 5, "int16": 6, "uint32": 10, "int32": 11,
    "uint64": 20, "int64": 20, "float16": 16, "float32": 16, "float64": 25,
}  # fmt: skip
_SMALL = ("bool", "uint8")


class _Room(threading.local):
    """Memory of this thread that is used again: fresh memory costs more to touch than to fill."""

    def __init__(self) -> None:
        self._arrays: dict[str, npt.NDArray[np.uint8]] = {}

    def bytes(self, name: str, count: int) -> npt.NDArray[np.uint8]:
        """Return `count` bytes of any content; they are lent until the name is asked for again."""
        import numpy as np

        array = self._arrays.get(name)
        if array is None or len(array) < count:
            array = self._arrays[name] = np.empty(count, np.uint8)
        return array[:count]

    def flags(self, name: str, count: int) -> npt.NDArray[np.bool_]:
        """Return so many truth values; see `bytes`."""
        import numpy as np

        return self.bytes(name, count).view(np.bool_)


_ROOM = _Room()


class Numbers(NamedTuple):
    """What a text holds.

    Attributes
    ----------
    values : numpy.ndarray
    line_ends : numpy.ndarray
        After how many values each line ends.
    """

    values: npt.NDArray[Any]
    line_ends: npt.NDArray[np.intp]


class WrongNumber(Damage):
    """A field that is no number of the wanted type.

    Parameters
    ----------
    what : str
    offset : int
        Its place in the text.
    line, column : int
        Its place in lines and fields, from 0.
    """

    def __init__(self, what: str, offset: int, line: int, column: int) -> None:
        super().__init__(what, offset)
        self.line = line
        self.column = column


def most_bytes(element_type: str, values: int) -> int:
    """Return what so many numbers, and what stands between them, take at most.

    Of random bytes a number has 2.57 digits in the mean, and many are not far from that.
    """
    if element_type == "uint8":
        return min(4 * values, int(3.5704 * values + 6 * values**0.5) + 4)
    return (_MOST_DIGITS[element_type] + 1) * values


def text_of(values: npt.NDArray[Any], columns: int, begun: int) -> npt.NDArray[np.uint8]:
    """Return lines of `columns` numbers each, of which the first has `begun` already."""
    import numpy as np

    separators = np.full(len(values), COMMA, np.uint8)
    separators[columns - 1 - begun :: columns] = NEWLINE
    if values.dtype in (np.bool_, np.uint8):
        return _small_text(values.view(np.uint8), separators)
    import pyarrow as pa

    # Every half is a single; not every version of Arrow can write halves.
    wide = values.astype(np.float32) if values.dtype == np.float16 else values
    strings = pa.array(wide).cast(pa.string())
    _, ends, digits = strings.buffers()
    lengths = np.diff(np.frombuffer(ends, np.int32, len(values) + 1))
    places = np.cumsum(lengths + 1) - 1
    text = np.empty(int(places[-1]) + 1, np.uint8)
    is_digit = np.ones(len(text), np.bool_)
    is_digit[places] = False
    text[places] = separators
    text[is_digit] = np.frombuffer(digits, np.uint8, len(text) - len(values))
    return text


def _small_text(
    values: npt.NDArray[np.uint8], separators: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint8]:
    """Look each number up in a table of the texts of all 256."""
    import numpy as np

    texts = np.zeros((256, 4), np.uint8)
    for number in range(256):
        digits = str(number).encode()
        texts[number, 3 - len(digits) : 3] = list(digits)
    padded = texts.view("<u4")[:, 0].take(values).view(np.uint8).reshape(-1, 4)
    padded[:, 3] = separators
    text: npt.NDArray[np.uint8] = padded[padded != 0]
    return text


def numbers_in(text: bytes, element_type: str) -> Numbers:
    """Return the numbers in whole fields of a text, each followed by a comma or a line's end.

    Raises
    ------
    WrongNumber
        Naming the first field that is no number of this type.
    """
    import numpy as np

    characters = np.frombuffer(text, np.uint8)
    is_newline = np.equal(characters, NEWLINE, out=_ROOM.flags("newlines", len(characters)))
    is_separator = np.equal(characters, COMMA, out=_ROOM.flags("separators", len(characters)))
    np.logical_or(is_separator, is_newline, out=is_separator)
    places = np.flatnonzero(is_separator)
    line_ends = np.searchsorted(places, np.flatnonzero(is_newline)) + 1
    if element_type in _SMALL:
        small = _small_numbers(characters, is_separator, places)
        if small is not None and (element_type == "uint8" or not (small > 1).any()):
            return Numbers(small, line_ends)
    fields = _Fields(characters, is_separator, places, element_type)
    try:
        return Numbers(fields.values(len(places)), line_ends)
    except ValueError:
        raise _wrong(text, fields) from None


def _small_numbers(
    characters: npt.NDArray[np.uint8],
    is_separator: npt.NDArray[np.bool_],
    places: npt.NDArray[np.intp],
) -> npt.NDArray[np.uint8] | None:
    """Return numbers of one to three digits, up to 255; None if there is anything else.

    At the comma behind a number, its value is the digit before, ten times the one before that, and
    a hundred times the one before that, if these are digits. All places are computed, not just
    those of commas, since that needs no look-ups.
    """
    import numpy as np

    count = len(characters)
    digits, is_digit = _ROOM.bytes("digits", count + 3), _ROOM.bytes("is digit", count + 3)
    work = _ROOM.bytes("work", count)
    flags = work.view(np.bool_)
    if is_separator[0] or np.logical_and(is_separator[1:], is_separator[:-1], flags[1:]).any():
        return None  # an empty field
    digits[:3] = is_digit[:3] = 0
    np.subtract(characters, _ZERO, out=digits[3:])
    np.less(digits[3:], 10, out=is_digit[3:].view(np.bool_))
    np.multiply(digits, is_digit, out=digits)
    np.bitwise_and(is_digit[3:], is_digit[2:-1], out=work)
    np.bitwise_and(work, is_digit[1:-2], out=work)
    has_four = np.bitwise_and(work, is_digit[:-3], out=work).any()
    if has_four or np.count_nonzero(is_digit) + len(places) != count:
        return None
    hundreds = np.multiply(digits[:-3], is_digit[1:-2], out=work).take(places)
    low = np.multiply(digits[1:-2], np.uint8(10), out=work)
    low += digits[2:-1]
    if hundreds.max() > 2:
        return None
    hundreds *= np.uint8(100)
    values: npt.NDArray[np.uint8] = hundreds + low.take(places)
    return None if (values < hundreds).any() else values  # a sum over 255 starts again at 0


class _Fields:
    """The fields of a text as an array of strings for Arrow."""

    def __init__(
        self,
        characters: npt.NDArray[np.uint8],
        is_separator: npt.NDArray[np.bool_],
        places: npt.NDArray[np.intp],
        element_type: str,
    ) -> None:
        import numpy as np
        import pyarrow as pa

        self.element_type = element_type
        self._arrow_type = pa.float64() if element_type == "float16" else _arrow_type(element_type)
        ends = np.zeros(len(places) + 1, np.int32)
        ends[1:] = places - np.arange(len(places))
        kept = np.ascontiguousarray(characters[~is_separator])
        buffers = [None, pa.py_buffer(ends), pa.py_buffer(kept)]
        self._strings = pa.Array.from_buffers(pa.string(), len(places), buffers)
        self.places = places

    def values(self, count: int) -> npt.NDArray[Any]:
        """Return the first `count` numbers.

        Raises
        ------
        ValueError
            If a field is no number of the type, or the strings are no text.
        """
        import numpy as np

        strings = self._strings[:count]
        strings.validate(full=True)
        numbers = strings.cast(self._arrow_type).to_numpy(zero_copy_only=False)
        with np.errstate(over="ignore"):
            values: npt.NDArray[Any] = numbers.astype(self.element_type, copy=False)
        return values

    def first_wrong(self) -> int:
        """Return the number of the first field that is wrong, by halving."""
        right, wrong = 0, len(self.places)
        while wrong - right > 1:
            middle = (right + wrong) // 2
            try:
                self.values(middle)
                right = middle
            except ValueError:
                wrong = middle
        return wrong - 1


def _arrow_type(element_type: str) -> Any:
    import pyarrow as pa

    return pa.bool_() if element_type == "bool" else pa.type_for_alias(element_type)


def _wrong(text: bytes, fields: _Fields) -> WrongNumber:
    number = fields.first_wrong()
    start = int(fields.places[number - 1]) + 1 if number else 0
    field = text[start : int(fields.places[number])]
    before = re.split(rb"\n", text[:start])
    shown = field[:_LONGEST_SHOWN].decode("utf-8", "backslashreplace")
    what = f"the field {shown!r} is no number of type {fields.element_type}"
    return WrongNumber(what, start, len(before) - 1, before[-1].count(b","))

"""Contents as elements of a type: random bytes that are valid, finite numbers.

Integers are the stream's bytes as they are. In floats the highest bit of the exponent is cleared:
what is left is a finite number between -2 and 2, for every pattern, and 15 of 16 bits (31 of 32, 63
of 64) stay as random as they were. Truth values keep the lowest bit of each byte. All numbers are
little-endian.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cm4storage.formats.format import Content

_MASKS = {
    "bool": ("u1", 0x01),
    "float16": ("<u2", 0xBFFF),
    "float32": ("<u4", 0xBFFF_FFFF),
    "float64": ("<u8", 0xBFFF_FFFF_FFFF_FFFF),
}


def content_of(element_type: str, content: Content) -> Content:
    """Return `content` as elements of a type.

    Parameters
    ----------
    element_type : str
        One of `cm4storage.workload.sections.ELEMENT_TYPES`.
    content : Content
        It is to be filled into buffers of whole elements from here on.
    """
    if element_type not in _MASKS:
        return content
    return _Masked(content, *_MASKS[element_type])


class _Masked:
    """Content of which each element is masked."""

    def __init__(self, content: Content, dtype: str, mask: int) -> None:
        import numpy as np

        self._content = content
        self._dtype = np.dtype(dtype)
        self._mask = self._dtype.type(mask)
        self.number = content.number

    def fill(self, buffer: memoryview) -> None:
        """Write the next elements into `buffer`, a whole number of them."""
        import numpy as np

        self._content.fill(buffer)
        elements = np.frombuffer(buffer, self._dtype)
        np.bitwise_and(elements, self._mask, out=elements)

"""Overrides in Hydra's notation: ``key=value``, ``+key=value``, ``++key=value``, ``~key``.

A value is a number, a text with or without quotes, ``true``, ``null``, a list ``[a, b]``, a mapping
``{a: b}``, or holds interpolations ``${key}``. Source of the notation: "Override grammar" in the
documentation of Hydra 1.3. Unlike there, a text without quotes may hold any characters that do
not end it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

Action = Literal["set", "add", "remove"]

_INTEGER = re.compile(r"[+-]?(0|[1-9](_?\d)*)", re.ASCII)
_FLOAT = re.compile(
    r"[+-]?((\d(_?\d)*\.(\d(_?\d)*)?|\.\d(_?\d)*)([eE][+-]?\d+)?|\d(_?\d)*[eE][+-]?\d+|inf|nan)",
    re.ASCII | re.IGNORECASE,
)
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None}
_CLOSING = {"[": "]", "{": "}"}
_DEEPEST = 40
_LONGEST_NUMBER = 300


@dataclass(frozen=True)
class Override:
    """One override.

    Attributes
    ----------
    text : str
        As it was written.
    action : {'set', 'add', 'remove'}
    path : str
        Dotted, as written.
    value : object
        None also where `action` is 'remove' and no value was given.
    has_value : bool
    """

    text: str
    action: Action
    path: str
    value: Any = None
    has_value: bool = True


def parse_override(word: str) -> Override:
    """Return the override that one word of a command line describes.

    Raises
    ------
    ValueError
        Saying what is wrong with it.
    """
    action: Action = "set"
    if word.startswith("~"):
        action, rest = "remove", word[1:]
    else:
        rest = word.lstrip("+")
        action = "set" if len(word) == len(rest) else "add"
        if len(word) - len(rest) > 2:
            raise ValueError("begins with more than two +")
    path, equals, value = rest.partition("=")
    path = path.strip()
    if not path or any(not part for part in path.split(".")):
        raise ValueError("is not KEY=VALUE")
    if not equals and action != "remove":
        raise ValueError("is not KEY=VALUE")
    return Override(word, action, path, parse_value(value) if equals else None, bool(equals))


def parse_value(text: str) -> Any:
    """Return the value that a text in Hydra's notation means.

    Raises
    ------
    ValueError
        Saying what is wrong, such as a bracket or a quote that is not closed.
    """
    return _Reader(text).whole()


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def whole(self) -> Any:
        self._skip_spaces()
        if self._at == len(self._text):
            return ""
        value = self._element("")
        self._skip_spaces()
        if self._at < len(self._text):
            raise ValueError(f"unexpected {self._text[self._at :]!r:.40} after the value")
        return value

    def _element(self, ends: str) -> Any:
        """Return one value; outside of quotes and brackets it goes to one of `ends`."""
        self._skip_spaces()
        first = self._text[self._at : self._at + 1]
        if first in _CLOSING:
            self._depth += 1
            if self._depth > _DEEPEST:
                raise ValueError(f"brackets more than {_DEEPEST} deep")
            value = self._list() if first == "[" else self._mapping()
            self._depth -= 1
            return value
        if first and first in "'\"":
            return self._quoted(first)
        text = self._bare(ends)
        if ends and not text:
            raise ValueError("an item between brackets or commas is missing")
        return _primitive(text)

    def _list(self) -> list[Any]:
        self._at += 1
        items: list[Any] = []
        while not self._closes("]", items):
            items.append(self._element(",]"))
        return items

    def _mapping(self) -> dict[str, Any]:
        self._at += 1
        items: dict[str, Any] = {}
        while not self._closes("}", items):
            name = self._element(":}")
            self._skip_spaces()
            if self._text[self._at : self._at + 1] != ":":
                raise ValueError(f"{name!r} in {{...}} has no value: write {{key: value}}")
            self._at += 1
            if isinstance(name, (list, dict)):
                raise ValueError("a key in {...} must be a text")  # noqa: TRY004
            items[str(name)] = self._element(",}")
        return items

    def _closes(self, bracket: str, items: Any) -> bool:
        """Step over the bracket at the end, or the comma before the next item."""
        self._skip_spaces()
        here = self._text[self._at : self._at + 1]
        if here == bracket:
            self._at += 1
            return True
        if items:
            if here != ",":
                raise ValueError(f"{bracket} or a comma is missing")
            self._at += 1
        elif not here:
            raise ValueError(f"{bracket} is missing")
        return False

    def _quoted(self, quote: str) -> str:
        self._at += 1
        parts: list[str] = []
        while self._at < len(self._text):
            here, after = self._text[self._at], self._text[self._at + 1 : self._at + 2]
            if here == quote:
                self._at += 1
                return "".join(parts)
            if here == "\\" and after and after in ("\\", quote):
                here = after
                self._at += 1
            parts.append(here)
            self._at += 1
        raise ValueError(f"the quote {quote} is not closed")

    def _bare(self, ends: str) -> str:
        """Return the text up to one of `ends`, ``${...}`` taken as a whole."""
        parts: list[str] = []
        while self._at < len(self._text) and self._text[self._at] not in ends:
            step = self._text[self._at : self._at + 2]
            if step == "${":
                parts.append(self._interpolation())
                continue
            if step[0] == "\\" and len(step) == 2 and step[1] in ",:=[]{}()'\" \\":
                step = step[1]
                self._at += 1
            elif step[0] == "," and not ends:
                raise ValueError("a list needs brackets: [a, b]; several runs at once need Hydra")
            parts.append(step[0])
            self._at += 1
        return "".join(parts).strip()

    def _interpolation(self) -> str:
        start, depth = self._at, 0
        while self._at < len(self._text):
            here = self._text[self._at]
            self._at += 1
            depth += (here == "{") - (here == "}")
            if here == "}" and depth == 0:
                return self._text[start : self._at]
        raise ValueError("${ is not closed by }")

    def _skip_spaces(self) -> None:
        while self._text[self._at : self._at + 1].isspace():
            self._at += 1


def _primitive(text: str) -> Any:
    lowered = text.lower()
    if lowered in _WORDS:
        return _WORDS[lowered]
    if len(text) > _LONGEST_NUMBER:
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text

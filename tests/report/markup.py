"""HTML as the standard library reads it: a tree, and complaints about what is not well formed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "br", "img", "input", "hr"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    children: list[Element | str] = field(default_factory=list)

    def text(self):
        parts = (each if isinstance(each, str) else each.text() for each in self.children)
        return "".join(parts)

    def walk(self):
        yield self
        for each in self.children:
            if isinstance(each, Element):
                yield from each.walk()

    def all(self, tag, **attributes):
        wanted = {name.rstrip("_"): value for name, value in attributes.items()}
        return [
            each
            for each in self.walk()
            if each.tag == tag and wanted.items() <= each.attributes.items()
        ]

    def of_id(self, name):
        [found] = [each for each in self.walk() if each.attributes.get("id") == name]
        return found


class _Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.root = Element("root", {})
        self._open = [self.root]

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"an attribute is there twice: {tag} {names}"
        element = Element(tag, {name: value or "" for name, value in attrs})
        self._open[-1].children.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag):
        assert self._open[-1].tag == tag, f"{tag} ends where {self._open[-1].tag} is open"
        self._open.pop()

    def handle_data(self, data):
        self._open[-1].children.append(data)


def parse(text):
    """Return the root of a page; fail where tags do not match."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    assert reader._open == [reader.root]
    return reader.root


def headings(tree):
    """Return the headings of a page in their order."""
    return [each for each in tree.walk() if re.fullmatch("h[1-6]", each.tag)]

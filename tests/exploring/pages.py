"""The page as the standard library reads it."""

from __future__ import annotations

import json
from html.parser import HTMLParser

_VOID = {"meta", "link", "br", "img", "input", "hr", "wbr"}


class Page(HTMLParser):
    """What a page holds: its tags with their texts, and the data of its script.

    An end tag that ends nothing, or something else than what is open, is an error.
    """

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self._open = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        entry = {"tag": tag, "attributes": dict(attrs), "text": ""}
        self.tags.append(entry)
        if tag not in _VOID:
            self._open.append(entry)

    def handle_endtag(self, tag):
        assert self._open.pop()["tag"] == tag

    def handle_data(self, data):
        for entry in self._open:
            entry["text"] += data

    def all(self, tag):
        return [entry for entry in self.tags if entry["tag"] == tag]

    @property
    def rows(self):
        """The names of the runs in the table that needs no script."""
        return [each["text"] for each in self.all("th") if each["attributes"].get("scope") == "row"]

    @property
    def data(self):
        [element] = [each for each in self.all("script") if each["attributes"].get("id") == "data"]
        return json.loads(element["text"])

    def column(self, key):
        """Return the values of a column of the data."""
        [column] = [each for each in self.data["columns"] if each["key"] == key]
        levels = column.get("levels")
        return [
            each if levels is None or each is None else levels[each] for each in column["cells"]
        ]

"""Formats by their names, with default settings."""

from __future__ import annotations

from cm4storage.formats.format import format_of
from cm4storage.workload.sections import DatasetSection


def format_named(name, **settings):
    """Return the format `name` of a data set with these ``dataset`` settings."""
    return format_of(DatasetSection(format=name, **settings))

"""What the fields of a report have to be, so that it can be upgraded and compared.

Reports are files that people edit and tools of others write. The JSON Schema says more, but only
of the current version, and what checks it is not among the packages that are always there.
"""

from __future__ import annotations

from typing import Any, Final

from cm4storage.core.errors import UserError

_OBJECTS: Final = (
    *("host", "host.versions", "limits", "conduct", "conduct.plugin_options"),
    *("conduct.changed_options", "data_set", "layout", "storage", "page_cache"),
)
_LISTS: Final = ("access_order_sample", "conduct.own_parts", "conduct.added_plugins")
_LISTS_OF_OBJECTS: Final = (
    *("epochs", "evaluations", "checkpoints", "save_checkpoints", "load_checkpoints"),
)
_TEXTS: Final = ("workload_digest", "scale", "backend_type", "client", "benchmark_name")


def require_shape(report: dict[str, Any], where: str) -> None:
    """Refuse a report whose fields are not what they have to be; any may be missing, or null.

    Parameters
    ----------
    where : str
        Where it is from, for the text of an error.

    Raises
    ------
    UserError
        With the name of the first such field.
    """
    for fields, kind, noun in (
        (_OBJECTS, dict, "an object"),
        (_LISTS, list, "a list"),
        (_LISTS_OF_OBJECTS, list, "a list of objects"),
        (_TEXTS, str, "a text"),
    ):
        for field in fields:
            if not isinstance(_value(report, field), (kind, type(None))):
                raise _damaged(field, noun, where)
    for field in _LISTS_OF_OBJECTS:
        if not all(isinstance(each, dict) for each in report.get(field) or ()):
            raise _damaged(field, "a list of objects", where)
    _require_names_and_options(report.get("conduct") or {}, where)


def _require_names_and_options(conduct: dict[str, Any], where: str) -> None:
    if not all(isinstance(name, str) for name in conduct.get("added_plugins") or ()):
        raise _damaged("conduct.added_plugins", "a list of names", where)
    for options in (conduct.get("plugin_options") or {}).values():
        if not isinstance(options, dict):
            raise _damaged("conduct.plugin_options", "an object of objects", where)
    for names in (conduct.get("changed_options") or {}).values():
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise _damaged("conduct.changed_options", "an object of lists of names", where)


def _value(report: dict[str, Any], field: str) -> Any:
    """Return the value of a dotted name; every part before it was looked at before."""
    head, _, rest = field.partition(".")
    value = report.get(head)
    return _value(value or {}, rest) if rest else value


def _damaged(field: str, noun: str, where: str) -> UserError:
    return UserError(
        f"the report is damaged: {field} is not {noun}",
        where=where,
        advice="make it again from the record of its run: cm4storage report FOLDER",
    )

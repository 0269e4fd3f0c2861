"""The heads of the documents that this project writes: their schema and version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cm4storage.core.errors import StorageBenchmarkError, UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

_ADVICE: Final = "use the release that wrote it, or a newer one"


def version_of(document: Mapping[str, Any], schema: str) -> int:
    """Return the version of a document; a KeyError says that it is none of this schema."""
    if document["schema"] != schema:
        raise KeyError(schema)
    return int(document["version"])


def check_version(
    version: object,
    newest: int,
    what: str,
    where: str,
    kind: type[StorageBenchmarkError] = UserError,
) -> None:
    """Refuse a document that a newer release wrote.

    Parameters
    ----------
    version : object
        What the document says; anything but a number is refused, too.
    newest : int
        What this release reads.
    what : str
        The document, for the message: ``the report``.
    where : str
        Its place.
    kind : type, optional
        What is raised.

    Raises
    ------
    StorageBenchmarkError
        Of that kind.
    """
    if isinstance(version, int) and 1 <= version <= newest:
        return
    raise kind(
        f"{what} has version {version}; this release reads up to {newest}",
        where=where,
        advice=_ADVICE,
    )

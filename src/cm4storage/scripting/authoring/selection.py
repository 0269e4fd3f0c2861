"""Which recipes of which repositories a command is about."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import StorageBenchmarkError, UsageError, UserError
from cm4storage.core.records import dataclass
from cm4storage.scripting.metadata_files import METADATA_FILES, read_metadata
from cm4storage.scripting.nearest import nearest
from cm4storage.scripting.query import Query

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cm4storage.scripting.actions import Surroundings
    from cm4storage.scripting.index import Repository


@dataclass(frozen=True)
class Selection:
    """Recipes of one repository.

    Parameters
    ----------
    repository : Repository
        Where they are.
    folders : tuple of Path
        The folders of all its recipes.
    chosen : tuple of Path
        Those that the command is about.
    is_whole : bool
        The command is about the repository as such.
    """

    repository: Repository
    folders: tuple[Path, ...]
    chosen: tuple[Path, ...]
    is_whole: bool


def query_of(given: Mapping[str, Any]) -> Query:
    """Return the query in cmind's input dictionary, without the repository.

    Raises
    ------
    UsageError
        If ``--tags`` has no value.
    """
    tags = given.get("tags", "")
    if not isinstance(tags, (str, list)):
        raise UsageError("--tags needs a value", advice="--tags=TAG,TAG")
    _, _, name = str(given.get("artifact") or "").strip().rpartition(":")
    if " " in name:
        return Query.parse(name)
    return Query.parse(tags, "" if name == "*" else name.partition(",")[0])


def repository_of(given: Mapping[str, Any]) -> str:
    """Return the alias in ``--repo=ALIAS`` or ``ALIAS:name``; "" if there is none."""
    prefix, colon, _ = str(given.get("artifact") or "").strip().rpartition(":")
    text = prefix if colon else given.get("repo", "")
    if not isinstance(text, str):
        raise UsageError("--repo needs a value", advice="--repo=ALIAS, or --repo=* for all")
    return text.partition(",")[0].strip()


def choose(given: Mapping[str, Any], surroundings: Surroundings) -> list[Selection]:
    """Return the recipes that a call is about.

    Without a repository in the call, those of the first that has any of them: the one of the
    current folder, that of the automation, and the others in CM's order.

    Raises
    ------
    UserError
        If there is no such repository or recipe.
    """
    query, alias = query_of(given), repository_of(given)
    candidates = _repositories(alias, surroundings)
    found = (_select(repository, query) for repository in candidates)
    if alias == "*":
        selections = [each for each in found if each.chosen]
    else:
        selections = [each for each in found if each.chosen or (alias and each.is_whole)][:1]
    if not selections:
        where = f" in {alias}" if alias and alias != "*" else ""
        raise UserError(
            f"no recipe{where} has these tags or this name: {query.text() or '(none given)'}",
            advice="cm find script lists all",
        )
    return selections


def current_folder() -> Path:
    """Return the folder that the command is called from.

    Raises
    ------
    UserError
        If it has gone.
    """
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise UserError(
            "the current folder does not exist any more", advice="cd to another"
        ) from error


def recipe_folders(repository: Path) -> Iterator[Path]:
    """Yield the folders of a repository that hold a metadata file."""
    root = repository / "script"
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        if any((folder / name).is_file() for name in METADATA_FILES):
            yield folder


def _repositories(alias: str, surroundings: Surroundings) -> Sequence[Repository]:
    known = surroundings.repositories
    if alias == "*":
        return known
    if alias:
        for repository in known:
            if repository.alias == alias:
                return [repository]
        near = nearest(alias, [repository.alias for repository in known], likeness=0.5)
        raise UserError(
            f"no repository is called {alias!r}",
            advice=f"did you mean {near}?" if near else "cm find repo lists all",
        )
    around = (current_folder(), *current_folder().parents)
    return sorted(
        known,
        key=lambda r: (
            around.index(r.folder) if r.folder in around else len(around),
            r.alias != surroundings.home,
        ),
    )


def _select(repository: Repository, query: Query) -> Selection:
    folders = tuple(recipe_folders(repository.folder))
    is_whole = not (query.tags or query.name or query.without_tags)
    if is_whole:
        return Selection(repository, folders, folders, is_whole=True)
    fitting = {folder: tags for folder in folders if (tags := _tags_if_fitting(folder, query))}
    exact = [folder for folder, tags in fitting.items() if tags == frozenset(query.tags)]
    return Selection(repository, folders, tuple(exact or fitting), is_whole=False)


def _tags_if_fitting(folder: Path, query: Query) -> frozenset[str] | None:
    """Return the tags of a recipe that fits the query; None for another."""
    try:
        raw = read_metadata(folder)
    except StorageBenchmarkError:
        raw = {"alias": folder.name}  # found by its name, so that it can be examined
    listed = raw.get("tags")
    tags = frozenset(map(str, listed if isinstance(listed, list) else ()))
    if query.name:
        is_it = query.name in (raw.get("alias"), raw.get("uid"), folder.name)
        return (tags | {query.name}) if is_it else None
    if frozenset(query.tags) <= tags and not frozenset(query.without_tags) & tags:
        return tags
    return None

"""The files that follow from recipes' metadata, and whether they are as they should be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from cm4storage.core.errors import StorageFault
from cm4storage.core.files import write_text_atomically
from cm4storage.core.records import dataclass
from cm4storage.scripting.authoring.dependencies import dependencies_of
from cm4storage.scripting.authoring.findings import counted
from cm4storage.scripting.authoring.house_rules import REPOSITORY_FILE, read_repository
from cm4storage.scripting.authoring.readme import MARK, readme
from cm4storage.scripting.metadata_files import METADATA_FILES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from cm4storage.scripting.index import Repository
    from cm4storage.scripting.metadata import Recipe

README_FILE = "README.md"
COPY_FILE = "meta.yaml"
INDEX_FOLDER = ("docs", "recipes")
_COPIED_REPOSITORY_KEYS = ("alias", "uid", "name", "desc", "version")


@dataclass(frozen=True)
class Document:
    """A file that is written from metadata.

    Parameters
    ----------
    path : Path
        Where it belongs.
    text : str
        What it should hold.
    """

    path: Path
    text: str

    @property
    def present(self) -> str | None:
        """What the file holds; None if it is not there or no text."""
        try:
            return self.path.read_text(encoding="utf-8")
        except (OSError, ValueError):
            return None

    @property
    def is_current(self) -> bool:
        """Whether the file holds what it should."""
        return self.present == self.text

    @property
    def is_written_by_hand(self) -> bool:
        """Whether the file is somebody's own work, which must not be lost."""
        present = self.present
        return self.path.suffix == ".md" and bool(present) and MARK not in (present or "")

    def write(self) -> None:
        """Write the file, whole or not at all."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageFault(
                f"cannot make the folder: {error.strerror}", where=str(self.path.parent)
            ) from error
        write_text_atomically(self.path, self.text)


def recipe_documents(
    recipe: Recipe, neighbours: Sequence[Recipe], repository: Repository
) -> Iterator[Document]:
    """Yield the documents of one recipe."""
    yield Document(recipe.folder / README_FILE, readme(recipe, neighbours, repository.alias))
    # A copy, not a link: neither every file system nor every archive keeps links.
    metadata = recipe.folder / METADATA_FILES[0]
    if metadata.is_file():
        yield Document(recipe.folder / COPY_FILE, metadata.read_text(encoding="utf-8"))


def repository_documents(recipes: Sequence[Recipe], repository: Repository) -> Iterator[Document]:
    """Yield the documents of a repository as such."""
    described = read_repository(repository.folder)
    if described:
        yield Document(repository.folder / COPY_FILE, _repository_copy(described))
    if (repository.folder / INDEX_FOLDER[0]).is_dir():
        path = repository.folder.joinpath(*INDEX_FOLDER, "index.md")
        yield Document(path, _index(recipes, repository))


def _repository_copy(described: dict[str, object]) -> str:
    """Return what mlcflow wants in a repository's root; it writes its own where that is missing."""
    kept = {key: described[key] for key in _COPIED_REPOSITORY_KEYS if key in described}
    text = yaml.safe_dump({**kept, "git": True}, sort_keys=False, allow_unicode=True)
    return f"# For mlcflow, from {REPOSITORY_FILE}: change that, not this.\n{text}"


def _index(recipes: Sequence[Recipe], repository: Repository) -> str:
    lines = [
        MARK,
        f"# The recipes of {repository.alias}",
        "",
        f"{counted(len(recipes), 'recipe')}. Each is described beside its code: follow its name.",
        "`cm show script --tags=TAG,TAG` shows the same in a terminal.",
    ]
    categories = sorted({str(recipe.raw.get("category") or "") for recipe in recipes})
    for category in categories:
        members = [r for r in recipes if str(r.raw.get("category") or "") == category]
        lines += ["", f"## {category or 'Other'}", ""]
        lines += ["| recipe | what it does | tags | needed by |", "|---|---|---|---|"]
        lines += [_index_row(recipe, recipes) for recipe in members]
    return "\n".join(lines) + "\n"


def _index_row(recipe: Recipe, recipes: Sequence[Recipe]) -> str:
    users = [each for each in recipes if _needs(each, recipe, recipes)]
    needed_by = ", ".join(f"`{each.alias}`" for each in users)
    link = f"[{recipe.alias}](../../script/{recipe.folder.name}/README.md)"
    return f"| {link} | {recipe.name} | `{','.join(recipe.tags)}` | {needed_by} |"


def _needs(user: Recipe, recipe: Recipe, recipes: Sequence[Recipe]) -> bool:
    return any(each.recipe is recipe for each in dependencies_of(user, recipes))

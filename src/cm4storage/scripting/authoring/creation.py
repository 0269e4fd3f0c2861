"""``cm add script``."""

from __future__ import annotations

import re
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from cm4storage.core.errors import StorageFault, UsageError, UserError
from cm4storage.core.records import dataclass
from cm4storage.scripting.authoring.documents import recipe_documents
from cm4storage.scripting.authoring.examination import examine
from cm4storage.scripting.authoring.house_rules import read_house_rules, read_repository
from cm4storage.scripting.authoring.lint import console_of
from cm4storage.scripting.authoring.selection import Selection, recipe_folders, repository_of
from cm4storage.scripting.metadata import parse_recipe
from cm4storage.scripting.metadata_files import METADATA_FILES
from cm4storage.scripting.nearest import nearest
from cm4storage.scripting.query import Query

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cm4storage.scripting.actions import Surroundings
    from cm4storage.scripting.console import Console
    from cm4storage.scripting.index import Repository

_TEMPLATES = Path(__file__).with_name("templates")
_SUFFIX = ".in"
_DEFAULT_TEMPLATE = "basic"
_LOCAL = "local"
_ALIAS = re.compile(r"[a-z][a-z0-9]*(?:[-_.][a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")


@dataclass(frozen=True)
class NewRecipe:
    """What a new recipe is called."""

    alias: str
    tags: tuple[str, ...]
    uid: str
    prefix: str

    def fill(self, text: str) -> str:
        """Return a template's text with this recipe's names in it."""
        values = {
            "ALIAS": self.alias,
            "UID": self.uid,
            "NAME": re.sub(r"[-_.]", " ", self.alias).capitalize(),
            "TAGS": yaml.safe_dump(list(self.tags), default_flow_style=True).strip(),
            "PREFIX": self.prefix,
        }
        return re.sub(r"@([A-Z]+)@", lambda match: values[match[1]], text)


def add_script(given: Mapping[str, Any], surroundings: Surroundings) -> dict[str, Any]:
    """Make a new recipe from a template.

    Returns
    -------
    dict
        Its ``meta`` and ``path``, and its repository.

    Raises
    ------
    UserError
        If the name or the tags are taken or cannot be used, or the template is unknown.
    """
    repository = _repository(given, surroundings)
    recipe = _named(given, repository)
    template = _template(given)
    folder = repository.folder / "script" / recipe.alias
    if folder.exists():
        raise UserError(
            f"there is a recipe called {recipe.alias} already",
            where=str(folder),
            advice="choose another name, or remove it: cm rm script "
            f"{repository.alias}:{recipe.alias}",
        )
    _refuse_known_tags(recipe, repository)
    _write(folder, template, recipe, repository)
    _tell(folder, recipe, console_of(given))
    described = read_repository(repository.folder)
    return {
        "path": str(folder),
        "meta": dict(parse_recipe(folder, repository.alias).raw),
        "repository": [repository.alias, str(described.get("uid", ""))],
    }


def _repository(given: Mapping[str, Any], surroundings: Surroundings) -> Repository:
    alias = repository_of(given) or _LOCAL
    known = {repository.alias: repository for repository in surroundings.repositories}
    if alias not in known:
        near = nearest(alias, known, likeness=0.5)
        raise UserError(
            f"no repository is called {alias!r}",
            advice=f"did you mean {near}?" if near else "cm find repo lists all",
        )
    return known[alias]


def _named(given: Mapping[str, Any], repository: Repository) -> NewRecipe:
    alias = str(given.get("artifact") or "").strip().rpartition(":")[2]
    if not alias:
        raise UsageError("what is the recipe called?", advice="cm add script NAME --tags=TAG,TAG")
    if not _ALIAS.fullmatch(alias):
        raise UsageError(
            f"a recipe cannot be called {alias!r}",
            advice="small letters and digits, with hyphens between words: verb-noun",
        )
    tags = given.get("tags") or alias.replace("-", ",")
    if not isinstance(tags, (str, list)):
        raise UsageError("--tags needs a value", advice="--tags=TAG,TAG")
    query = Query.parse(tags)
    wrong = [*query.variations, *query.without_tags, *query.without_variations]
    wrong += [tag for tag in query.tags if not _TAG.fullmatch(tag)]
    if wrong:
        raise UsageError(
            f"this cannot be a tag of a recipe: {wrong[0]}",
            advice="letters, digits, dots, plus signs and hyphens, and a letter or digit first",
        )
    prefix = read_house_rules(repository.folder).env_prefix or _own_prefix(alias)
    return NewRecipe(alias, query.tags, secrets.token_hex(8), prefix)


def _own_prefix(alias: str) -> str:
    """Return the start of variables' names; not that of an engine, which would take them over."""
    prefix = re.sub(r"[^a-z0-9]+", "_", alias).upper() + "_"
    return re.sub(r"^(CM|MLC)_", "", prefix) or "RECIPE_"


def _template(given: Mapping[str, Any]) -> Path:
    name = str(given.get("template") or _DEFAULT_TEMPLATE)
    known = sorted(folder.name for folder in _TEMPLATES.iterdir())
    if name not in known:
        near = nearest(name, known)
        hint = f"did you mean {near}? " if near else ""
        raise UsageError(
            f"there is no template {name!r}", advice=f"{hint}Templates: {', '.join(known)}"
        )
    return _TEMPLATES / name


def _refuse_known_tags(recipe: NewRecipe, repository: Repository) -> None:
    folders = tuple(recipe_folders(repository.folder))
    selection = Selection(repository, folders, folders, is_whole=False)
    for other in examine(selection, {}).recipes:
        if frozenset(other.tags) == frozenset(recipe.tags):
            raise UserError(
                f"these are the tags of {other.alias}: {','.join(recipe.tags)}",
                where=str(other.folder),
                advice="add a tag that says what is different",
            )


def _write(folder: Path, template: Path, recipe: NewRecipe, repository: Repository) -> None:
    """Write the recipe beside its place, and put it there when it is whole."""
    temporary = None
    try:
        folder.parent.mkdir(exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".cm-add-", dir=repository.folder))
        for file in sorted(template.iterdir()):
            target = temporary / file.name.removesuffix(_SUFFIX)
            target.write_text(recipe.fill(file.read_text(encoding="utf-8")), encoding="utf-8")
            if target.suffix == ".sh":
                target.chmod(0o755)
        for document in recipe_documents(parse_recipe(temporary, ""), [], repository):
            document.write()
        temporary.chmod(0o755)
        temporary.rename(folder)
    except OSError as error:
        raise StorageFault(
            f"cannot write the recipe: {error.strerror}", where=str(error.filename or folder)
        ) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _tell(folder: Path, recipe: NewRecipe, console: Console) -> None:
    tags = ",".join(recipe.tags)
    lines: Sequence[tuple[str, str]] = (
        (f"{METADATA_FILES[0]}, customize.py, run.sh", "say what it does: edit them"),
        (f"cm run script --tags={tags}", "runs it"),
        (f"cm test script --tags={tags}", "runs the tests in its metadata"),
        (f"cm lint script --tags={tags} --strict", "checks it"),
        (f"cm doc script --tags={tags}", "writes README.md and meta.yaml after a change"),
    )
    console.line(f"made {folder}")
    for command, what in lines:
        console.line(f"  {command:<50}  {what}")

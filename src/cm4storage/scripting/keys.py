"""The key of a recipe's result, and why one key differs from another.

A key covers the recipe and its code, the resolved variations, the declared inputs, the version
and the keys of the dependencies. It never covers volatile variables or what the host passes.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cm4storage.core.canonical import digest
from cm4storage.core.errors import UserError, is_secret_name, redact_url
from cm4storage.scripting.environment import HOST_KEYS, LOCAL_ENV_KEYS, exported_text, matches_any
from cm4storage.scripting.inputs import is_secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from cm4storage.scripting.cache import Entry
    from cm4storage.scripting.metadata import InputSpec, Recipe
    from cm4storage.scripting.prepare import Prepared

_KEY_FORMAT = 1
_SHOWN_CHANGES = 3
_SHOWN_LENGTH = 60


@dataclass(frozen=True)
class Identity:
    """What a recipe's result stands for in the keys of the recipes that depend on it.

    Parameters
    ----------
    recipe : str
        The recipe's alias.
    key : str
        The digest. Secrets are not in it.
    details : Mapping
        For explanations only: alias of this recipe and of those below it -> parts of their keys.
    doubt : str
        Why nothing that depends on this may be cached; "" if it may.
    pending : str
        In a dry run, the recipe without whose outputs the key is not sure; "" elsewhere.
    """

    recipe: str
    key: str
    details: Mapping[str, Any]
    doubt: str = ""
    pending: str = ""


@dataclass(frozen=True)
class Key:
    """The key of one result.

    Parameters
    ----------
    digest : str
        In hex; the head is the uid of the cache entry.
    memo : str
        Like `digest`, with secrets: to recognise a repetition within one run. Kept in memory.
    parts : Mapping
        What the digest covers; stored with the entry. Holds no secrets.
    details : Mapping
        As in `Identity`.
    doubt, pending : str
        Why the result may not be cached, and what a dry run does not know; as in `Identity`.
    """

    digest: str
    memo: str
    parts: Mapping[str, Any]
    details: Mapping[str, Any]
    doubt: str = ""
    pending: str = ""


@dataclass
class Fingerprints:
    """Digests of files and recipe folders, each computed once per run.

    Parameters
    ----------
    run_folder : Path
        The run's private folder, whose name means nothing: files below it count by content.
    volatile : set of str
        Patterns of the variables that no key covers.
    """

    run_folder: Path
    volatile: set[str] = field(default_factory=set)
    _code: dict[Path, Mapping[str, str]] = field(default_factory=dict)

    def code(self, recipe: Recipe) -> Mapping[str, str]:
        """Return the digests of the files that make up a recipe."""
        if recipe.folder not in self._code:
            self._code[recipe.folder] = {
                str(path.relative_to(recipe.folder)): _file_digest(path)
                for path in _code_files(recipe.folder)
            }
        return self._code[recipe.folder]

    def value(self, value: Any, spec: InputSpec | None = None) -> Any:
        """Return what stands for a variable's value in a key."""
        if isinstance(value, list):
            return [self.value(item, spec) for item in value]
        if isinstance(value, dict):
            return {str(name): self.value(item) for name, item in value.items()}
        # A file name that is no UTF-8 cannot stand in JSON as it is.
        text = exported_text(value).encode("utf-8", "backslashreplace").decode()
        path = Path(exported_text(value))
        if spec is not None and spec.type == "file" and text and path.is_file():
            return {"file": path.name, "sha256": _file_digest(path)}
        return self._without_run_folder(text)

    def _without_run_folder(self, text: str) -> Any:
        run_folder = str(self.run_folder)
        if run_folder not in text:
            return text
        path = Path(text)
        if not text.startswith(run_folder) or not path.exists():
            return text.replace(run_folder, "<run>")
        files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
        return {str(file.relative_to(path.parent)): _file_digest(file) for file in files}

    def counts(self, name: str) -> bool:
        """Tell whether a variable of this name can be part of a key."""
        return not matches_any(name, (*self.volatile, *HOST_KEYS, *LOCAL_ENV_KEYS))


def key_of(
    prepared: Prepared,
    dependencies: Iterable[Identity],
    fingerprints: Fingerprints,
    later: Mapping[str, Any],
) -> Key:
    """Return the key of a recipe whose first dependencies have been resolved.

    Parameters
    ----------
    later : Mapping
        Alias -> code of the recipes that the phases after the look-up may run.
    """
    deps = list(dependencies)
    recipe = prepared.recipe
    inputs, secrets = _inputs(prepared, fingerprints)
    own: dict[str, Any] = {
        "recipe": recipe.uid,
        "variations": sorted(prepared.variations),
        "inputs": inputs,
        "version": {name: v for name, v in prepared.env.items() if name.startswith("CM_VERSION")},
    }
    if not recipe.keeps_across_versions:
        own |= {"code": dict(fingerprints.code(recipe)), "later": dict(later)}
    parts = {"format": _KEY_FORMAT, **own, "deps": [[dep.recipe, dep.key] for dep in deps]}
    details = {name: part for dep in deps for name, part in dep.details.items()}
    doubt = next((dep.doubt for dep in deps if dep.doubt), "")
    if not doubt and secrets:
        doubt = f"a secret takes part ({', '.join(sorted(secrets))})"
    memo = digest({"parts": parts, "secrets": secrets, "repository": recipe.repository})
    pending = next((dep.pending for dep in deps if dep.pending), "")
    return Key(digest(parts), memo, parts, {**details, recipe.alias: own}, doubt, pending)


def identity_of(
    prepared: Prepared,
    key: Key,
    outputs: tuple[Mapping[str, Any], Mapping[str, Any]],
    fingerprints: Fingerprints,
) -> Identity:
    """Return the identity of a result that is not cached: its key and what it put out.

    A recipe that looks at the machine may put out something else for the same key, so the outputs
    count, except volatile and secret ones.
    """
    new_env, new_state = outputs
    counted = {
        name: fingerprints.value(value, prepared.specs.get(name))
        for name, value in new_env.items()
        if fingerprints.counts(name) and not _is_hidden(name, value, prepared.specs.get(name))
    }
    alias = prepared.recipe.alias
    try:
        own = {**key.details[alias], "outputs": counted, "state": digest(dict(new_state))}
        whole = digest([key.parts, counted, dict(new_state)])
    except (TypeError, ValueError):
        doubt = f"{alias} puts out something that cannot be compared"
        return Identity(alias, key.digest, key.details, doubt)
    return Identity(alias, whole, {**key.details, alias: own})


def explain_miss(parts: Mapping[str, Any], details: Mapping[str, Any], known: list[Entry]) -> str:
    """Return why a key is new, compared with the most similar of the `known` entries."""
    if not known:
        return "first run"
    flat = _flat(parts, details)
    newest_first = sorted(known, key=lambda entry: entry.created, reverse=True)
    changes = min((_changes(_flat_entry(entry), flat) for entry in newest_first), key=len)
    if not changes:
        return "a dependency changed"
    more = f" and {len(changes) - _SHOWN_CHANGES} more" if len(changes) > _SHOWN_CHANGES else ""
    return "; ".join(changes[:_SHOWN_CHANGES]) + more


def stored_parts(key: Key) -> dict[str, Any]:
    """Return what an entry stores about its key."""
    return {"key": dict(key.parts), "details": dict(key.details)}


def _inputs(
    prepared: Prepared, fingerprints: Fingerprints
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the declared inputs in the key, and the secrets among them, which stay out."""
    env, names = prepared.env, prepared.declared
    if names is None:
        env, names = dict(prepared.incoming), frozenset(prepared.incoming)
    inputs, secrets = {}, {}
    for name in sorted(names):
        if not fingerprints.counts(name):
            continue
        spec = prepared.specs.get(name)
        if _is_hidden(name, env.get(name), spec):
            secrets[name] = exported_text(env[name])
        elif name in env:
            inputs[name] = fingerprints.value(env[name], spec)
    if prepared.declared is None and prepared.call.state:
        inputs["(state)"] = digest_or_refuse(prepared.call.state, prepared.recipe)
    return inputs, secrets


def digest_or_refuse(state: Mapping[str, Any], recipe: Recipe) -> str:
    """Return the digest of a state that comes in to a recipe without declared inputs."""
    try:
        return digest(dict(state))
    except (TypeError, ValueError) as error:
        raise UserError(
            f"the state that reaches {recipe.alias} cannot be written as JSON: {error}",
            advice="declare the recipe's inputs (input_mapping or default_env)",
        ) from error


def _is_hidden(name: str, value: Any, spec: InputSpec | None) -> bool:
    """Tell whether a value must be written nowhere: a secret, or a URL that holds one."""
    text = exported_text(value)
    return bool(value) and (is_secret(name, spec) or redact_url(text) != text)


def _code_files(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if f != "__pycache__" and not f.startswith("."))
        for name in sorted(names):
            if name != "README.md" and not name.endswith(".pyc") and not name.startswith("."):
                yield Path(root) / name


def _file_digest(path: Path) -> str:
    state = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            state.update(chunk)
    return state.hexdigest()


def _flat_entry(entry: Entry) -> dict[str, Any]:
    return _flat(entry.parts.get("key", {}), entry.parts.get("details", {}))


def _flat(parts: Mapping[str, Any], details: Mapping[str, Any]) -> dict[str, Any]:
    """Return a key's parts as path -> value, those of dependencies under their aliases."""
    own = {name: parts.get(name, {}) for name in ("variations", "inputs", "version", "code")}
    flat = dict(_leaves((), own))
    for alias, part in details.items():
        if isinstance(part, dict) and part.get("recipe") != parts.get("recipe"):
            names = ("variations", "inputs", "version", "code", "outputs", "state")
            flat |= _leaves((alias,), {name: part[name] for name in names if name in part})
    flat |= _leaves(("later",), parts.get("later", {}))
    return flat


def _leaves(path: tuple[str, ...], value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _leaves((*path, name), item)
    else:
        yield path, value


def _changes(old: Mapping[Any, Any], new: Mapping[Any, Any]) -> list[str]:
    """Return the differences in words, each once."""
    found: dict[str, None] = {}
    for path in [*new, *(path for path in old if path not in new)]:
        if old.get(path) != new.get(path):
            found[_change(path, old.get(path), new.get(path))] = None
    return list(found)


def _change(path: tuple[str, ...], old: Any, new: Any) -> str:
    if path[0] == "later":
        return f"code of {path[1]} changed"
    is_own = path[0] in ("variations", "inputs", "version", "code")
    owner = "" if is_own else f"{path[0]}: "
    kind, *rest = path if is_own else path[1:]
    name = "/".join(rest)
    if kind == "code":
        return f"{owner or 'recipe '}code changed ({name})"
    if kind == "variations":
        return f"{owner}variations changed {_variations(old)} -> {_variations(new)}"
    if kind == "inputs" and rest[-1] == "sha256":
        return f"{owner}content of {rest[0]} changed"
    if kind == "state" or is_secret_name(name):
        return f"{owner}{name or kind} changed"
    return f"{owner}{name} changed {_shown(old)} -> {_shown(new)}"


def _variations(value: Any) -> str:
    return ",".join(f"_{name}" for name in value or ()) or "none"


def _shown(value: Any) -> str:
    if value is None:
        return "unset"
    text = repr(value)
    return text if len(text) <= _SHOWN_LENGTH else f"{text[: _SHOWN_LENGTH - 3]}..."

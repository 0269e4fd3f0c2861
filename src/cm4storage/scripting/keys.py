"""The key of a recipe's result, and why one key differs from another.

A key covers the recipe and its code, the resolved variations, the declared inputs, the version
and the keys of the dependencies. It never covers volatile variables or what the host passes.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cm4storage.core.canonical import digest, sha256
from cm4storage.core.errors import UserError, redact_url
from cm4storage.core.records import dataclass, field
from cm4storage.scripting.environment import (
    FLAG_KEYS,
    HOST_KEYS,
    exported_text,
    matches_any,
)
from cm4storage.scripting.inputs import is_secret
from cm4storage.scripting.metadata import DEPENDENCY_PHASES
from cm4storage.scripting.own_flags import asked_of
from cm4storage.scripting.variations import variation_of

if TYPE_CHECKING:
    import hashlib
    from collections.abc import Iterable, Iterator, Mapping

    from cm4storage.scripting.later import Later
    from cm4storage.scripting.metadata import InputSpec, Recipe
    from cm4storage.scripting.prepare import Prepared
    from cm4storage.scripting.session import Session

_KEY_FORMAT = 1
_SMALL_BYTES = 1 << 20
# Written from the metadata, which counts itself.
_GENERATED = ("README.md", "meta.yaml")
# Of two variations that have one of these, the order may matter.
_ORDERED = (
    *DEPENDENCY_PHASES,
    *("add_deps", "ad", "add_deps_recursive", "adr", "update_meta_if_env", "input_mapping"),
    *("default_version", "script_name"),
)
# Nothing that runs, and changed by who works there.
_NO_CODE = ("__pycache__", ".git", ".gitignore", ".DS_Store")
# What the engine itself sets for each run.
_ENGINE_KEYS = ("CM_TMP_CURRENT_*", "CM_TMP_PIP_VERSION_STRING", "CM_RENEW_CACHE_ENTRY")


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
    session : Session
        The run. Its private folder's name means nothing: files below it count by content.
    """

    session: Session
    _code: dict[Path, Mapping[str, str]] = field(default_factory=dict)

    def code(self, recipe: Recipe) -> Mapping[str, str]:
        """Return the digests of the files that make up a recipe."""
        if recipe.folder not in self._code:
            self._code[recipe.folder] = {
                str(path.relative_to(recipe.folder)): _code_digest(path)
                for path in _code_files(recipe.folder)
            }
        return self._code[recipe.folder]

    def value(self, value: Any, spec: InputSpec | None = None) -> Any:
        """Return what stands for a variable's value in a key."""
        if isinstance(value, list):
            return [self.value(item, spec) for item in value]
        if isinstance(value, dict):
            return {str(name): self.value(item) for name, item in value.items()}
        text = _as_utf8(exported_text(value))
        path = Path(exported_text(value))
        if spec is not None and spec.type == "file" and text and path.is_file():
            return {"file": path.name, "sha256": _file_digest(path)}
        return self._without_run_folder(text)

    def _without_run_folder(self, text: str) -> Any:
        run_folder = str(self.session.made_folder or "")
        if not run_folder or run_folder not in text:
            return text
        path = Path(text)
        if not text.startswith(run_folder) or not path.exists():
            return text.replace(run_folder, "<run>")
        files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
        return {str(file.relative_to(path.parent)): _file_digest(file) for file in files}

    def counts(self, name: str) -> bool:
        """Tell whether a variable of this name can be part of a key."""
        return self.counts_as_output(name) and not matches_any(name, _ENGINE_KEYS)

    def counts_as_output(self, name: str) -> bool:
        """Tell it of a variable that a recipe puts out: one named like a local one, too."""
        return not matches_any(name, (*self.session.volatile, *HOST_KEYS, *FLAG_KEYS))


def key_of(
    prepared: Prepared,
    dependencies: Iterable[Identity],
    fingerprints: Fingerprints,
    later: Later,
) -> Key:
    """Return the key of a recipe whose first dependencies have been resolved."""
    deps = list(dependencies)
    recipe = prepared.recipe
    inputs, secrets = _inputs(prepared, fingerprints)
    own: dict[str, Any] = {
        "recipe": recipe.uid,
        "variations": _in_order(prepared),
        "inputs": inputs,
        "version": {name: v for name, v in prepared.env.items() if name.startswith("CM_VERSION")},
    }
    asked = {
        **asked_of(prepared.call, fingerprints.session.caller_folder),
        "new_env_keys": list(prepared.call.new_env_keys),
        "extra_cache_tags": list(prepared.extra_cache_tags),
    }
    own |= {"asked": {n: v for n, v in asked.items() if v}} if any(asked.values()) else {}
    below, below_secrets = _later_inputs(prepared, later, fingerprints)
    secrets |= below_secrets
    if below:
        own["later_inputs"] = below
    if not recipe.keeps_across_versions:
        own |= {"code": dict(fingerprints.code(recipe)), "later": dict(later.code)}
        own |= {"later_calls": dict(later.calls)} if later.calls else {}
    parts = {"format": _KEY_FORMAT, **own, "deps": [[dep.recipe, dep.key] for dep in deps]}
    details = {name: part for dep in deps for name, part in dep.details.items()}
    doubt = next((dep.doubt for dep in deps if dep.doubt), "")
    if not doubt and secrets:
        doubt = f"a secret takes part ({', '.join(sorted(secrets))})"
    doubt = doubt or later.doubt or _own_doubt(prepared)
    memo = digest({"parts": parts, "secrets": secrets, "repository": recipe.repository})
    pending = next((dep.pending for dep in deps if dep.pending), "")
    return Key(digest(parts), memo, parts, {**details, recipe.alias: own}, doubt, pending)


def _in_order(prepared: Prepared) -> list[str]:
    """Return the variations: as they are applied, if that matters, or else sorted."""
    touched: set[Any] = set()
    for name in prepared.variations:
        own = _touched(variation_of(prepared.recipe, name).raw)
        if not touched.isdisjoint(own):
            return list(prepared.variations)
        touched |= own
    return sorted(prepared.variations)


def _touched(raw: Mapping[str, Any]) -> set[Any]:
    """Return what a variation may set, or add to a list, before or after another one."""
    env = {("env", name) for key in ("env", "const", "default_env") for name in raw.get(key) or ()}
    state = {("state", name) for name in raw.get("state") or ()}
    return env | state | {key for key in _ORDERED if raw.get(key)}


def _own_doubt(prepared: Prepared) -> str:
    # Nobody but its owner knows what has become of it since.
    return "its results are in a folder of yours" if prepared.env.get("CM_OUTDIRNAME") else ""


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
        if fingerprints.counts_as_output(name)
        and not _is_hidden(name, value, prepared.specs.get(name))
    }
    alias = prepared.recipe.alias
    try:
        own = {**key.details[alias], "outputs": counted, "state": digest(dict(new_state))}
        whole = digest([key.parts, counted, dict(new_state)])
    except (TypeError, ValueError):
        doubt = f"{alias} puts out something that cannot be compared"
        return Identity(alias, key.digest, key.details, doubt)
    return Identity(alias, whole, {**key.details, alias: own}, prepared.doubt)


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
    inputs, secrets = _counted(names, env, prepared, fingerprints)
    # A recipe without code looks at no state; one that is to run once says that none matters.
    looks = prepared.recipe.has_code and not prepared.recipe.runs_once
    if prepared.call.state and (looks or prepared.declared is None):
        inputs["(state)"] = digest_or_refuse(prepared.call.state, prepared.recipe)
    return inputs, secrets


def _later_inputs(
    prepared: Prepared, later: Later, fingerprints: Fingerprints
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what reaches later recipes from outside and is no input of this one."""
    names = later.variables - (prepared.declared or frozenset())
    found, secrets = _counted(names, prepared.env, prepared, fingerprints)
    for name, value in later.inputs.items():
        if _is_hidden(name, value, None):
            secrets[name] = exported_text(value)
        else:
            found[f"--{name}"] = fingerprints.value(value)
    found |= {f"--{name}": change for name, change in later.changes.items()}
    if later.takes_state and prepared.state:
        found["(state)"] = digest_or_refuse(prepared.state, prepared.recipe)
    return found, secrets


def _counted(
    names: Iterable[str], env: Mapping[str, Any], prepared: Prepared, fingerprints: Fingerprints
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what stands for these variables in a key, and those that are secret."""
    inputs: dict[str, Any] = {}
    secrets: dict[str, Any] = {}
    for name in sorted(names):
        if not fingerprints.counts(name):
            continue
        spec = prepared.specs.get(name)
        if _is_hidden(name, env.get(name), spec):
            secrets[name] = exported_text(env[name])
        elif name in env:
            inputs[name] = fingerprints.value(env[name], spec)
    return inputs, secrets


def digest_or_refuse(state: Mapping[str, Any], recipe: Recipe) -> str:
    """Return the digest of a state that comes in to a recipe.

    There is no way to declare which parts of it a recipe looks at, so all of it counts.
    """
    try:
        return digest(dict(state))
    except (TypeError, ValueError) as error:
        raise UserError(
            f"the state that reaches {recipe.alias} cannot be written as JSON: {error}",
            advice="keep what JSON cannot hold out of new_state_keys",
        ) from error


def _is_hidden(name: str, value: Any, spec: InputSpec | None) -> bool:
    """Tell whether a value must be written nowhere: a secret, or a URL that holds one."""
    text = exported_text(value)
    return bool(value) and (is_secret(name, spec) or redact_url(text) != text)


def _code_files(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _NO_CODE)
        links = [name for name in folders if (Path(root) / name).is_symlink()]  # not walked
        generated = _GENERATED if Path(root) == folder else ()
        for name in sorted([*names, *links]):
            if name not in (*generated, *_NO_CODE) and not name.endswith((".pyc", ".swp", "~")):
                yield Path(root) / name


def _code_digest(path: Path) -> str:
    """Return what stands for a file of a recipe: its content; for a link, its target's name too.

    A link to a folder stands for all files in there.

    Raises
    ------
    UserError
        If it is neither a file nor a link: reading it might wait for ever.
    """
    if path.is_symlink():
        return digest(["link", _as_utf8(str(path.readlink())), _linked(path)])
    if not path.is_file():
        raise UserError(
            f"the recipe has something that is no file: {path.name}",
            where=str(path),
            advice="remove it: a recipe consists of files, folders and links",
        )
    return _file_digest(path)


def _linked(link: Path) -> Any:
    """Return what stands for what a link leads to."""
    if link.is_file():
        return _file_digest(link)
    files = [file for file in _code_files(link) if file.is_file()] if link.is_dir() else []
    return {_as_utf8(str(file.relative_to(link))): _file_digest(file) for file in files} or None


def _as_utf8(text: str) -> str:
    """Return a text that can stand in JSON, where a file's name is no UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def _new_state(size_bytes: int) -> hashlib._Hash:
    if size_bytes < _SMALL_BYTES:
        return sha256()
    import hashlib  # OpenSSL's is three times as fast, once it is loaded

    return hashlib.sha256()


def _file_digest(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            state = _new_state(os.fstat(stream.fileno()).st_size)
            while chunk := stream.read(1 << 20):
                state.update(chunk)
    except OSError as error:
        raise UserError(f"cannot read {path.name}: {error.strerror}", where=str(path)) from error
    return state.hexdigest()

"""What the original engine does around a recipe's script, and recipes have come to rely on."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import UserError
from cm4storage.scripting.metadata import parse_dependency
from cm4storage.scripting.toolbox.stage import GIVEN_STATE_FILE
from cm4storage.scripting.toolbox.versions import VersionLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cm4storage.scripting.metadata import Recipe
    from cm4storage.scripting.prepare import Prepared
    from cm4storage.scripting.session import Session
    from cm4storage.scripting.toolbox.stage import Stage

PREFIXED_FILE = "tmp-run-prefixed.sh"
_INSTEAD = "instead"


def work_folder(session: Session, prepared: Prepared, folder: Path) -> Path:
    """Return where the phases run: the folder that ``CM_OUTDIRNAME`` names, else `folder`.

    A relative one is the caller's for the recipe that the user asked for.
    """
    asked = str(prepared.env.get("CM_OUTDIRNAME", ""))
    if not asked:
        return folder
    start = folder if prepared.call.chain else session.caller_folder
    wanted = Path(os.path.normpath(Path(start) / asked))
    wanted.mkdir(parents=True, exist_ok=True)
    prepared.env["CM_OUTDIRNAME"] = str(wanted)
    return wanted


def clean(prepared: Prepared, folder: Path) -> None:
    """Remove what an earlier run may have left: the files that the metadata names."""
    for key in ("clean_files", "clean_output_files"):
        for name in prepared.recipe.raw.get(key) or ():
            file = folder / str(name)
            if file.is_file():
                file.unlink()


def pip_version(env: Mapping[str, Any]) -> str:
    """Return the version asked for as pip writes it: ``==1.2`` or ``>=1.0,<=2.0``."""
    limits = VersionLimits.of(env)
    if limits.exact:
        return f"=={limits.exact}"
    pairs = ((">=", limits.least), ("<=", limits.most))
    return ",".join(f"{sign}{version}" for sign, version in pairs if version)


def check_version(prepared: Prepared) -> None:
    """Raise if the version that the recipe has found is outside the limits of the call.

    Raises
    ------
    UserError
        Names the version and the limits.
    """
    limits = VersionLimits.of(prepared.env)
    found = str(prepared.env.get("CM_DETECTED_VERSION", "")).strip()
    if found and not limits.includes(found):
        limits = VersionLimits(least=limits.least, most=limits.most)
        raise UserError(
            f"{prepared.recipe.alias}: version {found} was found, {limits} is needed",
            advice=f"install another version, or ask for {found} with --version={found}",
        )


def map_keys(prepared: Prepared) -> None:
    """Copy the variables that begin with a key of ``env_key_mappings`` to their other names."""
    mappings = prepared.recipe.raw.get("env_key_mappings") or {}
    for prefix, replacement in mappings.items():
        for name in [name for name in prepared.env if name.startswith(prefix)]:
            prepared.env[name.replace(prefix, replacement)] = prepared.env[name]


def give_state(stage: Stage) -> None:
    """Write the state for the script to read; nobody else may, for it can hold secrets."""
    file = stage.folder / GIVEN_STATE_FILE
    text = json.dumps(stage.prepared.state, indent=2, sort_keys=True, default=str)
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)


def prefixed(stage: Stage, script: Path) -> Path:
    """Return `script`, or one that first runs the lines in the state's ``script_prefix``.

    A recipe that makes a virtual environment asks for its activation like this.
    """
    lines = stage.prepared.state.get("script_prefix") or []
    if not lines:
        return script
    file = stage.folder / PREFIXED_FILE
    text = "\n".join([*map(str, lines), f". {shlex.quote(str(script))}", ""])
    file.write_bytes(os.fsencode(text))
    return file


def show_files(stage: Stage) -> None:
    """Show the files that the metadata names for the case that the script fails."""
    for name in stage.prepared.recipe.raw.get("print_files_if_script_error") or ():
        file = stage.folder / str(name)
        if file.is_file():
            stage.session.console.line(f"{file}:")
            stage.session.console.line(file.read_text(encoding="utf-8", errors="replace"))


def run_instead(stage: Stage, script: Any, run_dependencies: Callable[[str], object]) -> None:
    """Run the recipe that a hook names in place of its own; its outputs become this recipe's."""
    if not script:
        return
    prepared = stage.prepared
    prepared.doubt = "a hook chose the recipe to run"  # whose code is not in the key
    before, prepared.put_out = prepared.put_out, frozenset()
    prepared.dependencies[_INSTEAD] = [parse_dependency(prepared.recipe, _INSTEAD, script)]
    run_dependencies(_INSTEAD)
    prepared.new_env_keys = (*prepared.new_env_keys, *prepared.put_out)
    prepared.put_out |= before


def cache_tags(prepared: Prepared) -> tuple[str, ...]:
    """Return the tags of an entry: CM's own, and those that say what was found."""
    found = [*prepared.tags(), *prepared.extra_cache_tags, *prepared.detected_tags]
    version = prepared.env.get("CM_DETECTED_VERSION") or prepared.env.get("CM_VERSION")
    if version and not any(tag.startswith("version-") for tag in found):
        found.append(f"version-{version}")
    for rule in prepared.recipe.raw.get("extra_cache_tags_from_env") or ():
        values = str(prepared.env.get(rule["env"], "")).split(",")
        found += [f"deps-{rule.get('prefix', '')}{value}" for value in values if value.strip()]
    return tuple(dict.fromkeys(found))


def note_answer(prepared: Prepared, answer: Mapping[str, Any]) -> None:
    """Take over what a hook says about the entry's tags and version."""
    tags = [str(tag) for tag in answer.get("add_extra_cache_tags") or ()]
    if answer.get("version"):
        tags.insert(0, f"version-{answer['version']}")
    prepared.detected_tags = tuple(dict.fromkeys((*prepared.detected_tags, *tags)))


def announce(session: Session, recipe: Recipe, new_env: Mapping[str, Any]) -> None:
    """Show the outputs that the metadata names in ``print_env_at_the_end``."""
    shown = recipe.raw.get("print_env_at_the_end") or {}
    for name, text in shown.items() if isinstance(shown, dict) else ():
        if name in new_env:
            session.console.line(f"{text}: {new_env[name]}")

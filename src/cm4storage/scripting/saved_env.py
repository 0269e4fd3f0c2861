"""A run's variables for people and shells: ``--print_env`` and ``--save_env``."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, Any, Final

from cm4storage.core.errors import is_secret_name
from cm4storage.core.files import write_text_atomically
from cm4storage.scripting.environment import exported_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from cm4storage.scripting.console import Console

SHELL_FILE: Final = "cm-env.sh"
JSON_FILE: Final = "cm-env.json"

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def env_lines(env: Mapping[str, Any], console: Console) -> Iterator[str]:
    """Yield ``NAME=value`` for each variable, sorted, a secret as ``***``."""
    for name in sorted(env):
        hidden = _is_secret(name, env[name], console)
        text = "***" if hidden else exported_text(env[name])
        yield f"{name}={text}"


def save_env(env: Mapping[str, Any], folder: Path, console: Console) -> list[Path]:
    """Write the variables to a file that a shell can source, and to a JSON file.

    Values are quoted, so that no shell executes anything in them. Secrets are left out, and the
    file says which.

    Raises
    ------
    StorageFault
        If they cannot be written.
    """
    kept = {name: v for name, v in env.items() if not _is_secret(name, v, console)}
    left_out = sorted(set(env) - set(kept))
    script = [_assignment(name, kept[name]) for name in sorted(kept) if _is_name(name)]
    unnamed = [
        f"# {name!r} is no name that a shell knows" for name in sorted(kept) if not _is_name(name)
    ]
    head = ["# The variables of a run of cm; to set them: . ./cm-env.sh"]
    secrets = [f"# left out, because it is a secret: {name!r}" for name in left_out]
    document = {"env": kept, "left_out": left_out}
    files = {
        folder / SHELL_FILE: "\n".join([*head, *secrets, *unnamed, *script]) + "\n",
        folder / JSON_FILE: json.dumps(document, indent=2, sort_keys=True, default=str) + "\n",
    }
    for path, text in files.items():
        write_text_atomically(path, text, errors="surrogateescape")
    if left_out:
        console.line(f"left out of {SHELL_FILE}, because they are secrets: {', '.join(left_out)}")
    return list(files)


def _is_secret(name: str, value: Any, console: Console) -> bool:
    text = exported_text(value)
    return bool(text) and (is_secret_name(name) or console.shown(text) != text)


def _is_name(name: str) -> bool:
    return _NAME.fullmatch(name.removeprefix("+")) is not None


def _assignment(name: str, value: Any) -> str:
    if not name.startswith("+"):
        return f"export {name}={shlex.quote(exported_text(value))}"
    name = name[1:]
    before = shlex.quote(":".join(map(str, value)) if isinstance(value, list) else str(value))
    return f'export {name}={before}"${{{name}:+:${name}}}"'

"""The recipes' environment: a mapping that flows from recipe to recipe, not the process's own."""

from __future__ import annotations

import fnmatch
import functools
import os
import re
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LOCAL_ENV_KEYS = (
    "CM_VERSION",
    "CM_VERSION_MIN",
    "CM_VERSION_MAX",
    "CM_VERSION_MAX_USABLE",
    "CM_DETECTED_VERSION",
    "CM_INPUT",
    "CM_OUTPUT",
    "CM_OUTBASENAME",
    "CM_OUTDIRNAME",
    "CM_NAME",
    "CM_EXTRA_CACHE_TAGS",
    "CM_TMP_*",
    "CM_GIT_*",
    "CM_RENEW_CACHE_ENTRY",
)
"""What belongs to one recipe and reaches neither its dependencies nor its parent."""

FLAG_KEYS = ("CM_QUIET",)
"""Flags as recipes see them; they change what is shown or asked, and no result."""

HOST_KEYS = (
    "GH_TOKEN",
    "ftp_proxy",
    "FTP_PROXY",
    "http_proxy",
    "HTTP_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "no_proxy",
    "NO_PROXY",
    "socks_proxy",
    "SOCKS_PROXY",
)
"""What recipes see of the host's environment."""

COMMAND_VARIABLE = "MLPERF_STORAGE_CM_COMMAND"
"""How the user calls ``cm``; for the commands that are shown, and for nothing else."""

_KEPT_HOST_KEYS = frozenset(("PATH", "HOME", "TMPDIR", COMMAND_VARIABLE, *HOST_KEYS))
_KEPT_CM_KEYS = frozenset(("CM_REPOS", "CM_HOME", "CM_CONFIG", "CM_INDEX", "CM_DEBUG"))
_PLACEHOLDER = r"<<<(.*?)>>>"


def matches_any(name: str, patterns: Iterable[str]) -> bool:
    """Tell whether `name` is one of `patterns`, which may hold ``*`` and ``?``."""
    exact, prefixes, others = _sorted_patterns(tuple(patterns))
    return (
        name in exact
        or name.startswith(prefixes)
        or any(fnmatch.fnmatchcase(name, pattern) for pattern in others)
    )


@functools.lru_cache(maxsize=1024)
def _sorted_patterns(
    patterns: tuple[str, ...],
) -> tuple[frozenset[str], tuple[str, ...], tuple[str, ...]]:
    """Return the names, the beginnings (``X*``) and the real patterns among `patterns`."""
    prefixes = [p[:-1] for p in patterns if p.endswith("*") and not _is_pattern(p[:-1])]
    others = [p for p in patterns if _is_pattern(p[:-1]) or p.endswith(("?", "]"))]
    return frozenset(patterns), tuple(prefixes), tuple(others)


def _is_pattern(text: str) -> bool:
    return any(sign in text for sign in "*?[")


def selected(values: Mapping[str, Any], patterns: Iterable[str]) -> dict[str, Any]:
    """Return what `new_env_keys` or `new_state_keys` let out.

    A pattern may also be ``<<<KEY>>>``: the variable whose name is the value of KEY.
    """
    wanted = [
        re.sub(_PLACEHOLDER, lambda m: str(values.get(m[1], "")), p) if "<<<" in p else p
        for p in patterns
    ]
    return {name: value for name, value in values.items() if matches_any(name, wanted)}


def merge(target: dict[str, Any], update: Mapping[str, Any]) -> None:
    """Merge `update` into `target`: mappings merge, lists grow by what is new, the rest wins."""
    for name, value in update.items():
        present = target.get(name)
        if isinstance(value, dict) and isinstance(present, dict):
            merge(present, value)
        elif isinstance(value, list) and isinstance(present, list):
            target[name] = present + [item for item in value if item not in present]
        else:
            target[name] = value


def substitute(
    env: dict[str, Any], others: Mapping[str, Any] | None = None, *, must_be_known: bool = False
) -> None:
    """Replace ``<<<KEY>>>`` in the values of `env` by values of `env` or `others`.

    Raises
    ------
    UserError
        If a key is unknown and `must_be_known`.
    """
    known = {**(others or {}), **env}
    for name, value in env.items():
        if isinstance(value, str) and "<<<" in value:
            env[name] = fill(value, known, must_be_known=must_be_known)
        elif isinstance(value, list):
            env[name] = [
                fill(item, known, must_be_known=must_be_known) if isinstance(item, str) else item
                for item in value
            ]


def fill(text: str, env: Mapping[str, Any], *, must_be_known: bool = False) -> str:
    """Return `text` with each ``<<<KEY>>>`` of a known key replaced."""

    def value(match: re.Match[str]) -> str:
        if match[1] in env:
            return str(env[match[1]])
        if must_be_known:
            raise UserError(f"the variable {match[1]} in {text!r} is not set")
        return match[0]

    return re.sub(_PLACEHOLDER, value, text) if "<<<" in text else text


def is_unresolved(value: Any) -> bool:
    """Tell whether a value still refers to a variable that is not known yet."""
    return "<<<" in str(value) and re.search(_PLACEHOLDER, str(value)) is not None


def exported(env: Mapping[str, Any], inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the process environment of run.sh: `inherited` under `env`.

    ``+KEY`` is a list that is put before an existing KEY, separated by ``:``, or by the first
    character after the plus where that is neither a letter nor a digit.

    Raises
    ------
    UserError
        If a name or value cannot stand in a process environment.
    """
    result = dict(inherited)
    for name, value in env.items():
        if not name.startswith("+"):
            result[name] = exported_text(value)
    for name, value in env.items():
        if name.startswith("+"):
            _prepend(result, name[1:], value)
    for name, text in result.items():
        if "\0" in text or "\0" in name or "=" in name or not name:
            raise UserError(f"the variable {name!r} cannot be exported to a process")
    return result


def exported_text(value: Any) -> str:
    """Return a value of the environment as the text that a process gets."""
    if isinstance(value, list):
        return ",".join(str(item) for item in value)
    return str(value)


def host_environment() -> dict[str, str]:
    """Return what recipes see of this process's environment."""
    return {name: os.environ[name] for name in HOST_KEYS if os.environ.get(name)}


class HostShade:
    """Takes the host's variables that recipes know as theirs out of this process's environment.

    A recipe would see them without its key knowing. What a shell or cmind itself needs stays.
    """

    def __init__(self) -> None:
        self._hidden: dict[str, str] = {}

    def hide(self, names: Iterable[str]) -> list[str]:
        """Hide variables, and return those that are newly hidden.

        Names may be patterns, but one that begins with ``*`` names nothing.
        """
        hidden = []
        listed = set(names)
        patterns = [name for name in listed if re.match(r"[^*?\[<]+[*?\[]", name)]
        for name in list(os.environ):
            if name in _KEPT_HOST_KEYS or name in _KEPT_CM_KEYS or name.startswith("CM_CORE_"):
                continue
            if name in listed or any(fnmatch.fnmatchcase(name, each) for each in patterns):
                self._hidden[name] = os.environ.pop(name)
                hidden.append(name)
        return hidden

    def restore(self) -> None:
        """Put back what was hidden."""
        os.environ.update(self._hidden)
        self._hidden.clear()


def placeholders(text: str) -> list[str]:
    """Return the variables to which ``<<<KEY>>>`` in a text refers."""
    return re.findall(_PLACEHOLDER, text) if "<<<" in text else []


def _prepend(result: dict[str, str], name: str, value: Any) -> None:
    separator = ":"
    if name and not name[0].isalnum() and name[0] != "_":
        separator, name = name[0], name[1:]
    if not isinstance(value, list):
        raise UserError(f"+{name} must be a list, not {value!r}")
    present = [result[name]] if result.get(name) else []
    result[name] = separator.join([*map(str, value), *present])

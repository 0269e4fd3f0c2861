"""``enable_if_env`` and its relatives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cm4storage.scripting.metadata import Conditions

_TRUE = frozenset(("yes", "on", "true", "1"))
_FALSE = frozenset(("no", "off", "false", "0"))


def takes_part(conditions: Conditions, env: Mapping[str, Any]) -> bool:
    """Tell whether a dependency under these conditions runs with this environment."""
    if conditions.enable_all is not None and not _all_match(conditions.enable_all, env):
        return False
    if conditions.enable_any is not None and not _any_matches(conditions.enable_any, env):
        return False
    if conditions.skip_all is not None and _all_match(conditions.skip_all, env):
        return False
    return not (conditions.skip_any is not None and _any_matches(conditions.skip_any, env))


def truth(values: tuple[str, ...]) -> bool | None:
    """Return whether a rule's values mean "set" (True) or "not set" (False); None for neither."""
    wanted = {value.lower() for value in values}
    if wanted & _TRUE:
        return True
    return False if wanted & _FALSE or wanted == {""} else None


def variables(conditions: Conditions) -> frozenset[str]:
    """Return the variables that the conditions look at."""
    parts = (
        conditions.enable_all,
        conditions.enable_any,
        conditions.skip_all,
        conditions.skip_any,
    )
    return frozenset(name for part in parts if part for name in part)


def _all_match(rules: Mapping[str, tuple[str, ...]], env: Mapping[str, Any]) -> bool:
    return all(_matches(values, env, name) for name, values in rules.items())


def _any_matches(rules: Mapping[str, tuple[str, ...]], env: Mapping[str, Any]) -> bool:
    return any(_matches_set(values, env, name) for name, values in rules.items())


def _matches_set(values: tuple[str, ...], env: Mapping[str, Any], name: str) -> bool:
    """Tell whether a variable that is set matches; an empty value stands for all that are false."""
    stated = tuple(value or "no" for value in values)
    return name in env and _matches(stated, env, name)


def _matches(values: tuple[str, ...], env: Mapping[str, Any], name: str) -> bool:
    # CM's rules: a value of "yes" accepts whatever is set and not false; a missing variable
    # matches where a false or empty value is expected.
    wanted = {value.lower() for value in values}
    if name not in env:
        return bool(wanted & (_FALSE | {""}))
    value = str(env[name]).lower().strip()
    is_false = value in _FALSE or not value
    if wanted & _TRUE:
        return not is_false
    if wanted & _FALSE:
        return is_false
    return value in wanted

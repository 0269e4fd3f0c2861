"""Dependencies as plain dictionaries, for hooks that change them before they run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cm4storage.scripting.conditions import takes_part
from cm4storage.scripting.environment import fill, merge
from cm4storage.scripting.metadata import conditions_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cm4storage.scripting.metadata import Conditions, Dependency

_CONDITION_KEYS = ("enable_if_env", "enable_if_any_env", "skip_if_env", "skip_if_any_env")


def plain(dependency: Dependency) -> dict[str, Any]:
    """Return a dependency as the mapping that a metadata file would hold."""
    found = {
        "tags": ",".join(dependency.tags),
        "names": list(dependency.names),
        "env": dict(dependency.env),
        **_plain_conditions(dependency.conditions),
        "version": dependency.version,
        "version_min": dependency.version_min,
        "version_max": dependency.version_max,
        "version_max_usable": dependency.version_max_usable,
        "inherit_variation_tags": dependency.inherit_variation_tags,
        "skip_inherit_variation_groups": list(dependency.skip_inherit_variation_groups),
        "update_tags_from_env": list(dependency.update_tags_from_env),
        "update_tags_from_env_with_prefix": {
            prefix: list(keys)
            for prefix, keys in dependency.update_tags_from_env_with_prefix.items()
        },
        "force_env_keys": list(dependency.force_env_keys),
        "force_new_env_keys": list(dependency.force_new_env_keys),
        "reuse_version": dependency.reuse_version,
        "dynamic": dependency.dynamic,
        "extra_cache_tags": ",".join(dependency.extra_cache_tags),
        "force_cache": dependency.force_cache,
        "skip_if_fake_run": dependency.skip_if_fake_run,
        "add_deps": dict(dependency.add_deps),
        "add_deps_recursive": dict(dependency.add_deps_recursive),
    }
    return {key: value for key, value in found.items() if value}


def update_dependencies(
    dependencies: Iterable[dict[str, Any]],
    updates: Mapping[str, Mapping[str, Any]],
    env: Mapping[str, Any],
) -> None:
    """Merge `updates` into the dependencies that have one of their names.

    New tags are added, mappings merged, lists extended; another value replaces the one there. An
    update may have conditions of its own; ``<<<KEY>>>`` in it is replaced.
    """
    listed = list(dependencies)
    for name, update in updates.items():
        if not takes_part(conditions_of(update), env):
            continue
        for dependency in listed:
            if name in dependency.get("names", []):
                _update(dependency, update, env)


def _update(dependency: dict[str, Any], update: Mapping[str, Any], env: Mapping[str, Any]) -> None:
    changes = {key: value for key, value in update.items() if key not in _CONDITION_KEYS}
    tags = changes.pop("tags", "")
    present = str(dependency.get("tags", "")).split(",")
    added = [fill(tag.strip(), env) for tag in str(tags).split(",") if tag.strip()]
    new = [tag for tag in added if tag not in present and "<<<" not in tag]
    dependency["tags"] = ",".join([*present, *dict.fromkeys(new)])
    merge(dependency, {key: _filled(value, env) for key, value in changes.items()})


def _filled(value: Any, env: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(item, env) for key, item in value.items()}
    return fill(value, env) if isinstance(value, str) else value


def _plain_conditions(conditions: Conditions) -> dict[str, Any]:
    parts = (
        conditions.enable_all,
        conditions.enable_any,
        conditions.skip_all,
        conditions.skip_any,
    )
    return {
        key: {name: list(values) for name, values in part.items()}
        for key, part in zip(_CONDITION_KEYS, parts, strict=True)
        if part is not None
    }

"""The section ``plugins``: what is called in the course of a run, by name, with its options."""

from __future__ import annotations

from typing import Any, Final

from cm4storage.core.records import dataclass

CHECKPOINT: Final = "checkpoint"
"""The name of the plugin that ``workflow.checkpoint`` switches on, too."""

Option = bool | int | float | str | None


@dataclass(frozen=True)
class PluginChoice:
    """One plugin and its options.

    Attributes
    ----------
    name : str
        Of an entry point, or dotted, such as ``package.module.Class``.
    options : tuple of pairs
        Names and values, which are numbers, texts, true, false or null.
    """

    name: str
    options: tuple[tuple[str, Option], ...] = ()

    def plain(self) -> Any:
        """Return it as it stands in a YAML list: the name, or a mapping of it to its options."""
        return {self.name: dict(self.options)} if self.options else self.name


def plugin_choices(value: object) -> tuple[PluginChoice, ...]:
    """Return what a YAML value says: a list of names and mappings, a mapping, or one name.

    Raises
    ------
    ValueError
        Saying what was expected.
    """
    if isinstance(value, str):
        value = [value]
    if isinstance(value, dict):
        value = [{name: options} for name, options in value.items()]
    if not isinstance(value, (list, tuple)):
        raise ValueError("expected names of plugins, or a mapping of them to their options")  # noqa: TRY004 - a value of the user
    choices = tuple(_choice(each) for each in value)
    names = [choice.name for choice in choices]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name} is named twice")
    return choices


def _choice(value: object) -> PluginChoice:
    if isinstance(value, PluginChoice):
        return value
    if isinstance(value, dict) and len(value) == 1:
        ((name, options),) = value.items()
    else:
        name, options = value, {}
    if not isinstance(name, str) or not name:
        raise ValueError(
            f"expected the name of a plugin, or {{name: {{option: value}}}}: {value!r}"
        )
    if options is None:
        options = {}
    if not isinstance(options, dict):
        raise ValueError(f"{name}: expected a mapping of options, not {options!r}")  # noqa: TRY004 - a value of the user
    for option, given in options.items():
        if not isinstance(option, str) or not isinstance(given, Option):
            reason = f"option {option!r} is a number, a text, true, false or null"
            raise ValueError(f"{name}: {reason}")  # noqa: TRY004 - a value of the user
    return PluginChoice(name, tuple(options.items()))

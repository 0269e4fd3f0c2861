"""Which plugins a run has: those of its workload, and checkpoints where the user asks for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cm4storage.plugins.lifecycle import plugin_of
from cm4storage.workload.plugin_choice import CHECKPOINT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cm4storage.plugins.lifecycle import Plugin
    from cm4storage.storage.location import StoreLocation
    from cm4storage.workload.model import Workload
    from cm4storage.workload.plugin_choice import PluginChoice


def plugins_of(
    workload: Workload,
    options: Mapping[str, object] | None = None,
    location: StoreLocation | None = None,
) -> dict[str, Plugin]:
    """Return the plugins of a run by their names, in the order of the workload.

    Parameters
    ----------
    workload : Workload
    options : mapping, optional
        Of the checkpoints, before those of the workload; what is not None switches them on.
    location : StoreLocation, optional
        Where checkpoints go, unless the options name a place.

    Raises
    ------
    UserError
        If a plugin cannot be loaded, or an option is wrong.
    """
    plugins: dict[str, Plugin] = {}
    names = workload.plugin_names
    if options is not None and CHECKPOINT not in names:
        names.append(CHECKPOINT)
    chosen = {choice.name: choice for choice in workload.plugins}
    for name in names:
        if name == CHECKPOINT:
            plugins[name] = _checkpoint(workload, chosen.get(name), options or {}, location)
        else:
            plugins[name] = plugin_of(chosen[name])
    return plugins


def _checkpoint(
    workload: Workload,
    choice: PluginChoice | None,
    options: Mapping[str, object],
    location: StoreLocation | None,
) -> Plugin:
    """Return the plugin of a workload, with options before those that the workload asks for."""
    # Not above: most runs write none, and would begin later for it.
    from cm4storage.checkpoint.plugin import CheckpointPlugin
    from cm4storage.checkpoint.settings import CheckpointSettings

    asked = CheckpointSettings.of_section(workload.checkpoint)
    if choice is not None:
        asked = asked.with_options(dict(choice.options))
    settings = asked.with_options(options)
    plugin = CheckpointPlugin(None if settings.checkpoint_dir else location, settings)
    plugin.changed_options = settings.differing(asked)
    return plugin

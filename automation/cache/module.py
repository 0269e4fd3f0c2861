"""The CM automation ``cache``: a thin adapter of the library beside it."""

import importlib.util
import os

from cmind.automation import Automation

_spec = importlib.util.spec_from_file_location(
    "cm4storage_border", f"{os.path.dirname(os.path.dirname(os.path.realpath(__file__)))}/border.py"
)
border = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(border)

from cm4storage.scripting import cache_actions  # noqa: E402 - border says which library that is


class CAutomation(Automation):
    """The results of recipes."""

    def __init__(self, cmind, automation_file):  # noqa: ARG002 - cmind's signature
        super().__init__(cmind, __file__)

    def _answer(self, given, action):
        store = border.surroundings(self.cmind).cache
        return border.answer(self.cmind, given, lambda _: {"list": action(given, store)})

    def search(self, i):
        """List the folders of entries.

        cm find cache [--tags=TAG,_VARIATION] [-j]

        --tags=tmp lists what broken-off runs left; --tags=script-artifact-UID the entries of
        the recipe with that uid.
        """
        return self._answer(i, cache_actions.find_entries)

    def show(self, i):
        """Show entries with size, age, tags, what their key covers, and who uses them.

        cm show cache [UID|ALIAS] [--tags=TAG,_VARIATION] [-j]
        """
        return self._answer(i, cache_actions.show_entries)

    def delete(self, i):
        """Remove entries, but none that a run uses; asks unless -f.

        cm rm cache --tags=TAG,_VARIATION [-f] [-j]
        cm rm cache UID|ALIAS
        cm rm cache --all
        cm rm cache --tags=TAG --dry_run     only say what would go
        """
        return self._answer(i, cache_actions.remove_entries)

    def prune(self, i):
        """Remove old entries and what broken-off runs left; say what it freed.

        cm prune cache                       what broken-off runs left, nothing else
        cm prune cache --older_than=30d      entries made longer ago, too: s, m, h, d or w
        cm prune cache --tags=TAG,_VARIATION entries with these tags
        cm prune cache --unused              entries that are in the key of no other entry
        cm prune cache --dry_run             only say what would go
        cm prune cache --all                 every entry, data sets and server data included

        Criteria narrow each other. An entry that a run uses stays. Data sets and server data
        stay unless their uid or recipe is named, or with --all. -j prints JSON.
        """
        from cm4storage.scripting.cache_prune import prune_entries

        store = border.surroundings(self.cmind).cache
        return border.answer(self.cmind, i, lambda _: prune_entries(i, store))

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
        """List the folders of entries: cm find cache [--tags=TAG,_VARIATION]."""
        return self._answer(i, cache_actions.find_entries)

    def show(self, i):
        """Show entries with size, age and tags: cm show cache [--tags=TAG,_VARIATION]."""
        return self._answer(i, cache_actions.show_entries)

    def delete(self, i):
        """Remove entries: cm rm cache --tags=TAG,_VARIATION, or a uid; asks unless -f."""
        return self._answer(i, cache_actions.remove_entries)

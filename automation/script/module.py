"""The CM automation ``script``: a thin adapter of the library beside it."""

import importlib.util
import os

from cmind.automation import Automation

_spec = importlib.util.spec_from_file_location(
    "cm4storage_border", f"{os.path.dirname(os.path.dirname(os.path.realpath(__file__)))}/border.py"
)
border = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(border)


class CAutomation(Automation):
    """Recipes that are found by tags."""

    def __init__(self, cmind, automation_file):  # noqa: ARG002 - cmind's signature
        super().__init__(cmind, __file__)

    def _answer(self, given, action):
        return border.answer(
            self.cmind, given, lambda secrets: action(border.surroundings(self.cmind), secrets)
        )

    def run(self, i):
        """Run a recipe: cm run script --tags=TAG,TAG,_VARIATION [--INPUT=VALUE ...]."""
        result = self._answer(
            i, lambda known, secrets: border.actions.run_script(i, known, secrets)
        )
        if i.get("help") or i.get("h"):
            # The recipe's own help has been shown; cmind would add the text of this function.
            result["skip_delayed_help"] = True
        return result

    def search(self, i):
        """List recipes: cm find script [--tags=TAG,TAG]."""
        return self._answer(i, lambda known, _: {"list": border.actions.find_scripts(i, known)})

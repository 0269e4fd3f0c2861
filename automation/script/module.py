"""The CM automation ``script``: a thin adapter of the library beside it."""

import importlib.util
import os

from cmind.automation import Automation

_spec = importlib.util.spec_from_file_location(
    "cm4storage_border", f"{os.path.dirname(os.path.dirname(os.path.realpath(__file__)))}/border.py"
)
border = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(border)

_FINDING = ("find", "search", "ls", "list")


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
        if i.get("action") not in _FINDING:
            return super().search(i)  # cmind's own rm, mv and cp want its own artifacts
        return self._answer(i, lambda known, _: {"list": border.actions.find_scripts(i, known)})

    def show(self, i):
        """Show what recipes take, need and put out: cm show script [NAME] [--tags=TAG,TAG]."""
        return self._author("show", i)

    def lint(self, i):
        """Check recipes: cm lint script [NAME] [--tags=TAG,TAG] [--repo=ALIAS]."""
        return self._author("lint", i)

    def doc(self, i):
        """Write README.md and meta.yaml of recipes: cm doc script [--tags=TAG,TAG] [--check]."""
        return self._author("doc", i)

    def test(self, i):
        """Run the tests in recipes' metadata: cm test script --tags=TAG,TAG."""
        return self._author("test", i)

    def add(self, i):
        """Make a new recipe: cm add script [REPOSITORY:]NAME --tags=TAG,TAG."""
        result = self._author("add", i)
        if "path" in result and self.cmind.use_index:
            repository = tuple(result["repository"])
            self.cmind.index.add(result["meta"], result["path"], repository, update=True)
        return result

    def _author(self, action, given):
        result = self._answer(
            given, lambda known, _: border.authoring().author(action, given, known)
        )
        if given.get("help") or given.get("h"):
            result["skip_delayed_help"] = True
        return result

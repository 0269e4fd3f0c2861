"""The CM automation ``cm4storage``: a thin adapter of the library beside it."""

import importlib.util
from pathlib import Path

from cmind.automation import Automation

_REPOSITORY = Path(__file__).resolve().parents[2]
_spec = importlib.util.spec_from_file_location(
    "cm4storage_border", _REPOSITORY / "automation" / "border.py"
)
border = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(border)


class CAutomation(Automation):
    """The machine that runs benchmarks."""

    def __init__(self, cmind, automation_file):  # noqa: ARG002 - cmind's signature
        super().__init__(cmind, __file__)

    def _answer(self, given, action):
        return border.answer(
            self.cmind,
            given,
            lambda _: action(given, border.surroundings(self.cmind), _REPOSITORY),
        )

    def doctor(self, i):
        """Check all that a run needs, and say what is wrong and how to mend it.

        cm doctor cm4storage [-j]

        ok: as it should be. warning: it works, but slower or not everywhere. problem: something
        will not work; the command then ends with 1. -j prints JSON.
        """
        from cm4storage.node.doctor import examine

        return self._answer(i, examine)

    def bootstrap(self, i):
        """Set up or pin all that this machine needs before it goes offline.

        cm bootstrap cm4storage [--branch=NAME] [--checkout=COMMIT] [--extras=s3,azure] [--fake_run]

        --branch, --checkout  bring the git checkout of this repository there first; refused if
                              it holds uncommitted changes
        --extras              what runs need beyond local files
        --fake_run            only show the commands

        Every command is shown before it runs. No system package is installed. -j prints JSON.
        """
        from cm4storage.node.bootstrap import set_up

        return self._answer(i, set_up)

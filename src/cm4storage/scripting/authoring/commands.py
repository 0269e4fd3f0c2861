"""The commands for those who write recipes, and what ``--help`` says about each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cm4storage.scripting.authoring.creation import add_script
from cm4storage.scripting.authoring.lint import console_of, document_scripts, lint_scripts
from cm4storage.scripting.authoring.showing import show_scripts
from cm4storage.scripting.authoring.testing import run_tests
from cm4storage.scripting.request import is_on, refuse_unknown_options

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cm4storage.scripting.actions import Surroundings

_WHICH = """
which recipes
NAME, or REPOSITORY:NAME   one recipe
--tags=TAG,TAG             those that have all of these tags
--repo=ALIAS               those of one repository; --repo=* for all repositories
                           (default: the repository of the current folder, else cm4storage)"""

_LINT = f"""\
usage: cm lint script [NAME] [--tags=TAG,TAG] [--repo=ALIAS] [--strict | --lenient] [-j]

Checks recipes, and prints FILE:LINE: RULE: WHAT for each breach. Exit code 1 if there is any.

always       schema, repeated-key, uid-unique, tags-unique, variation-known, dependency-known,
             readable, hook-syntax
--strict     besides: unknown-key, uid-quoted, named, variation-described, input-described,
             set-twice, output-exact, env-prefix, tested, tags-reachable, hook-imports,
             document-current
--lenient    only the first line
             (default: strict where the repository's cmr.yaml says recipe_rules: strict: true)
{_WHICH}"""

_DOC = f"""\
usage: cm doc script [NAME] [--tags=TAG,TAG] [--repo=ALIAS] [--check] [-j]

Writes README.md and meta.yaml of recipes from their _cm.yaml. For a whole repository also its
meta.yaml from cmr.yaml and, if it has a folder docs, docs/recipes/index.md. A README.md that was
written by hand is left as it is.

--check      write nothing; exit code 1 if a file is out of date
{_WHICH}"""

_TEST = f"""\
usage: cm test script [NAME] [--tags=TAG,TAG[,_VARIATION]] [--repo=ALIAS] [-j]

Runs the tests in recipes' metadata, each in an empty folder and all with a cache of their own.
Exit code 1 if one fails. With a variation, only tests that switch it on.

tests:
  run_inputs:
    - desc: what it shows
      variations_list: [_a, "_a,_b"]     one run each; one without variations by default
      NAME: VALUE                        an input, as --NAME=VALUE
      env: {{NAME: VALUE}}                 as --env.NAME=VALUE
      needs: [PROGRAM]                   skipped where the machine lacks it
      expect:
        exit_code: 0
        env: {{NAME: VALUE}}               outputs that must be exactly this
        env_matches: {{NAME: REGEX}}       outputs that must fit
        output: [TEXT]                   what the run must print, errors included
{_WHICH}"""

_ADD = """\
usage: cm add script [REPOSITORY:]NAME [--tags=TAG,TAG] [--template=TEMPLATE] [-j]

Makes a new recipe that runs, has tests and keeps all rules; in CM's local repository unless
another is named. Nothing is overwritten.

--tags       what it is found by (default: the words of its name)
--template   basic (default): an input, a variation, an output, run.sh
             cached: makes a file and keeps it in the cache"""

_SHOW = f"""\
usage: cm show script [NAME] [--tags=TAG,TAG] [--repo=ALIAS] [-j]

Shows what recipes take, need and put out, and where they are.
{_WHICH}"""

_COMMANDS: dict[str, tuple[Callable[[Mapping[str, Any], Surroundings], dict[str, Any]], str]] = {
    "lint": (lint_scripts, _LINT),
    "doc": (document_scripts, _DOC),
    "test": (run_tests, _TEST),
    "add": (add_script, _ADD),
    "show": (show_scripts, _SHOW),
}


_OPTIONS: dict[str, tuple[str, ...]] = {
    "lint": ("tags", "repo", "strict", "lenient"),
    "doc": ("tags", "repo", "check"),
    "test": ("tags", "repo"),
    "add": ("tags", "template"),
    "show": ("tags", "repo"),
}


def author(action: str, given: Mapping[str, Any], surroundings: Surroundings) -> dict[str, Any]:
    """Do what ``cm <action> script`` asks for; with ``--help``, say what that is.

    Raises
    ------
    StorageBenchmarkError
        As the action.
    """
    do, usage = _COMMANDS[action]
    if is_on(given, "help", "h"):
        console_of(given).line(usage)
        return {}
    refuse_unknown_options(given, _OPTIONS[action], f"cm {action} script")
    return do(given, surroundings)

"""Between cmind and the library: dictionaries on one side, exceptions on the other.

Importing this makes ``import cm4storage`` mean the package beside this repository: in a checkout
``src/cm4storage``, in a wheel the package that holds ``repo/``; never another installed copy.
"""

from __future__ import annotations

import gc
import importlib.util
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

_REPOSITORY = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
_PACKAGE = "cm4storage"


def _package_folder() -> str:
    for package in (f"{_REPOSITORY}/src/{_PACKAGE}", os.path.dirname(_REPOSITORY)):
        if os.path.isfile(f"{package}/scripting/__init__.py"):
            return package
    raise ImportError(f"the repository {_REPOSITORY} has no {_PACKAGE} library beside it")


def _use_library_beside() -> None:
    package = _package_folder()
    loaded = sys.modules.get(_PACKAGE)
    if loaded is not None and os.path.dirname(os.path.realpath(str(loaded.__file__))) == package:
        return
    for name in [n for n in sys.modules if n == _PACKAGE or n.startswith(f"{_PACKAGE}.")]:
        del sys.modules[name]
    # Not by sys.path: site-packages in front of the standard library would shadow parts of it.
    spec = importlib.util.spec_from_file_location(
        _PACKAGE, f"{package}/__init__.py", submodule_search_locations=[package]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot load {package}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[_PACKAGE] = module
    spec.loader.exec_module(module)


def _open_missing_streams() -> None:
    """Let streams that the caller has closed lead to nowhere, for us and for our children."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
            os.set_inheritable(descriptor, True)
        if getattr(sys, name) is None:
            nowhere = open(os.devnull, "w" if descriptor else "r", encoding="utf-8")  # noqa: SIM115
            setattr(sys, name, nowhere)


# What is loaded for a call stays to its end, so there is little to collect, in a heap that cmind
# has filled with its index.
_THRESHOLDS = gc.get_threshold()
gc.set_threshold(100_000, *_THRESHOLDS[1:])
_use_library_beside()
_open_missing_streams()

# The right library can be named only now.
from cm4storage.core.errors import ExitCode, StorageBenchmarkError  # noqa: E402
from cm4storage.scripting import actions  # noqa: E402
from cm4storage.scripting.failures import Interrupted, RecipeFailure, exit_status  # noqa: E402

__all__ = ["actions", "answer", "authoring", "surroundings"]


def authoring() -> ModuleType:
    """Return the commands for those who write recipes: loaded only when one is asked for."""
    from cm4storage.scripting.authoring import commands

    return commands


def surroundings(cmind: Any) -> actions.Surroundings:
    """Return what the library needs to know of this CM installation."""
    repositories, home = [], ""
    for repo in cmind.repos.lst:
        # Absolute, because recipes run elsewhere; and one spelling for one folder.
        folder = os.path.realpath(repo.path_with_prefix)
        repository = actions.Repository(str(repo.meta["alias"]), folder)
        repositories.append(repository)
        if folder == _REPOSITORY:
            home = repository.alias
    local = os.path.realpath(f"{cmind.repos.full_path_to_repos}/{cmind.cfg['local_repo_name']}")
    return actions.Surroundings(repositories, home, local, cmind)


def answer(
    cmind: Any, given: dict[str, Any], action: Callable[[actions.Secrets], dict[str, Any]]
) -> Any:
    """Call `action`; return its result, or the error that it raised, as cmind's dictionary."""
    secrets = actions.Secrets()
    try:
        result = {"return": 0, **action(secrets)}
    except (StorageBenchmarkError, Interrupted, KeyboardInterrupt) as error:
        result = {"return": exit_status(error), "error": secrets.shown(_text(error, given))}
        result |= getattr(error, "result", {})  # what was found: the answer of a check that failed
    except Exception as error:  # noqa: BLE001 - a defect of ours: shown in full by -v
        text = secrets.shown(_crash_text(error, given))
        result = {"return": int(ExitCode.INTERNAL), "error": text}
    finally:
        gc.set_threshold(*_THRESHOLDS)
    if actions.wants_json(given):
        result = _answer_json(cmind, given, actions.without_secrets(result, secrets))
    _show_error(cmind, given, result)
    return result


def _answer_json(cmind: Any, given: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    """Print a result if a command asked for it; the caller of an API gets it returned."""
    if given.get("out") != "json":
        actions.print_json(result)
    elif cmind.output == "json" and "cmd" in given:
        actions.print_json(result)
        cmind.output = "shown"  # not once more by cmind, which fails noisily at a closed pipe
    return result


def _text(error: BaseException, given: dict[str, Any]) -> str:
    if not isinstance(error, StorageBenchmarkError):
        return str(error) or "stopped by SIGINT"
    details = error.details if isinstance(error, RecipeFailure) and given.get("v") else ""
    return f"{error.render()}\n\n{details}".rstrip()


def _crash_text(error: Exception, given: dict[str, Any]) -> str:
    import traceback

    last = traceback.extract_tb(error.__traceback__)[-1]
    details = f"\n{traceback.format_exc()}" if given.get("v") else "  to do: add -v for more"
    return (
        f"error: a defect of cm4storage: {type(error).__name__}: {error}\n"
        f"  where: {last.filename}:{last.lineno}\n{details}"
    )


def _show_error(cmind: Any, given: dict[str, Any], result: dict[str, Any]) -> None:
    """Print an error ourselves: cmind would wrap it in its own words."""
    if result["return"] and given.get("out") in ("con", "json"):
        sys.stdout.flush()
        sys.stderr.write(f"{result['error']}\n")
        sys.stderr.flush()
        if given["out"] == "con":
            cmind.output = "shown"

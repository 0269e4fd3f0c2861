"""customize.py: loading it, calling its hooks, and saying where it failed."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import ExitCode, StorageBenchmarkError
from cm4storage.scripting.failures import Interrupted, RecipeFailure
from cm4storage.scripting.metadata_files import file_stamp

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from cm4storage.scripting.metadata import Recipe
    from cm4storage.scripting.toolbox.stage import Stage

CUSTOMIZE_FILE = "customize.py"

_modules: dict[tuple[str, tuple[int, ...]], ModuleType] = {}
_YOUNG_S = 3.0


def load_hooks(recipe: Recipe) -> ModuleType | None:
    """Return the recipe's customize.py as a module; None if it has none."""
    path = recipe.folder / CUSTOMIZE_FILE
    if not path.is_file():
        return None
    stamp = (str(path), file_stamp(path))
    if stamp not in _modules:
        _modules[stamp] = _load(recipe, path)
    return _modules[stamp]


def call_hook(stage: Stage, name: str) -> dict[str, Any]:
    """Call ``preprocess`` or ``postprocess``; an absent hook returns nothing.

    Raises
    ------
    RecipeFailure
        If the hook raises, ends the process, or returns an error.
    """
    hook = getattr(stage.hooks, name, None)
    if hook is None:
        return {}
    answer: object = None  # what a hook says that leaves by sys.exit(0)
    with inside(stage.folder), _explained(stage.prepared.recipe, name):
        answer = hook(stage.hook_input())
    if not isinstance(answer, dict):
        answer = {"return": 0} if answer is None else {"return": 1, "error": repr(answer)}
    status = answer.get("return", 0)
    if status:
        text = str(answer.get("error", "")).strip() or "no reason given"
        code = status if isinstance(status, int) and 0 < status < 256 else 1
        raise RecipeFailure(text, status=code, meaning=f"returned by {name} in {CUSTOMIZE_FILE}")
    stage.take_changes()
    return answer


def _load(recipe: Recipe, path: Path) -> ModuleType:
    name = f"cm_recipe_{recipe.uid}_customize"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise RecipeFailure(f"cannot load {path.name}", status=1, where=str(path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    try:
        with _explained(recipe, "import"):
            if time.time() - path.stat().st_mtime > _YOUNG_S:
                spec.loader.exec_module(module)
            else:
                # Python recognises stale bytecode by whole seconds and size, which misses an edit
                # in the same second; so none is read or written for a file that young.
                exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Make `folder` the current one: hooks use relative paths, as CM lets them."""
    previous = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.chdir(folder)
        yield
    finally:
        os.fchdir(previous)
        os.close(previous)


@contextlib.contextmanager
def _explained(recipe: Recipe, phase: str) -> Iterator[None]:
    try:
        yield
    except (Interrupted, KeyboardInterrupt, StorageBenchmarkError):
        raise
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
        if code:
            raise RecipeFailure(f"{phase} called sys.exit({error.code!r})", status=code) from error
    except Exception as error:
        place = _place(recipe, error)
        raise RecipeFailure(
            f"{recipe.alias}: {place}: {type(error).__name__}: {error}",
            status=int(ExitCode.INTERNAL),
            meaning=f"an exception in {phase}",
            details="".join(traceback.format_exception(error)),
        ) from error


def _place(recipe: Recipe, error: BaseException) -> str:
    """Return file and line of the last frame inside the recipe."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{Path(error.filename).name}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if Path(f.filename).is_relative_to(recipe.folder)]
    last = own[-1] if own else frames[-1]
    return f"{Path(last.filename).name}:{last.lineno}"

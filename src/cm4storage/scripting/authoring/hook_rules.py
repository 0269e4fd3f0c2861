"""The rules for customize.py: any engine must be able to load it."""

from __future__ import annotations

import ast
import sys
from typing import TYPE_CHECKING

from cm4storage.scripting.authoring.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOOKS_FILE = "customize.py"
_ALLOWED = sys.stdlib_module_names | {"__future__"}
_ENGINES = ("cmind", "mlc", "cm4storage")


def hook_imports(folder: Path, *, is_strict: bool) -> Iterator[Finding]:
    """Yield what keeps the hooks of the recipe in `folder` from being loaded everywhere."""
    file = folder / HOOKS_FILE
    if not file.is_file():
        return
    try:
        tree = ast.parse(file.read_bytes(), filename=str(file))
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        yield Finding(file, line, "hook-syntax", f"this is no Python: {error}")
        return
    if is_strict:
        for line, module in _imports(tree):
            if module.partition(".")[0] not in _ALLOWED:
                yield Finding(file, line, "hook-imports", f"imports {module}", _advice(module))


def _imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." * node.level + (node.module or "")


def _advice(module: str) -> str:
    if module.partition(".")[0] in _ENGINES:
        return "hooks run under several engines: use i['automation'] for what the engine offers"
    return "use the standard library: hooks run in whatever Python holds the engine"

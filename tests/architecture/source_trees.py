"""The project's own Python files, and what they import."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "src" / "cm4storage"
UNKNOWN = "(a computed name)"


@dataclass(frozen=True)
class Import:
    """One imported module and where the import stands."""

    module: str
    file: Path
    line: int

    @property
    def top(self) -> str:
        """The first part of the module's name."""
        return self.module.partition(".")[0]

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line} imports {self.module}"


@cache
def parse(file: Path) -> ast.Module:
    """Return a file's syntax tree."""
    return ast.parse(file.read_text(encoding="utf-8"), filename=str(file))


def python_files(*folders: str) -> list[Path]:
    """Return the Python files below these folders of the checkout."""
    return sorted(file for folder in folders for file in (ROOT / folder).rglob("*.py"))


def imports_of(file: Path) -> list[Import]:
    """Return all imports of a file: lazy ones, those for type checking alone, and those by call.

    ``from package import name`` gives ``package.name`` where `name` may be a module of the project.
    """
    found: list[Import] = []
    for node in ast.walk(parse(file)):
        if isinstance(node, ast.Import):
            found += [Import(alias.name, file, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = _absolute(node, file)
            names = [_resolve(package, alias.name) for alias in node.names]
            found += [Import(name, file, node.lineno) for name in names]
        elif isinstance(node, ast.Call) and _name_of(node.func) in {"import_module", "__import__"}:
            found.append(Import(_literal_start(node.args[0]), file, node.lineno))
    return found


def _name_of(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _literal_start(argument: ast.expr) -> str:
    """Return the module that a call imports, or the part of its name that is written there."""
    if isinstance(argument, ast.JoinedStr):
        return _literal_start(argument.values[0])
    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
        return argument.value.removesuffix(".")
    return UNKNOWN


def _absolute(node: ast.ImportFrom, file: Path) -> str:
    if node.level == 0:
        return node.module or ""
    package = file.parent.relative_to(ROOT / "src").parts
    base = package[: len(package) - node.level + 1]
    return ".".join((*base, *filter(None, [node.module])))


def _resolve(package: str, name: str) -> str:
    """Return ``package.name`` where that is a module of the library, else the package."""
    path = (ROOT / "src").joinpath(*package.split("."), name)
    is_module = path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()
    return f"{package}.{name}" if is_module else package


def ring_of(module: str) -> str:
    """Return the part of the library that a module belongs to: ``loader``, ``cli``, ...

    The package itself and ``__main__`` are called by their own names.
    """
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def ring_of_file(file: Path) -> str:
    """Return the part of the library in which a file lies."""
    return file.relative_to(LIBRARY).parts[0].removesuffix(".py")

"""Functions do one thing, files stay readable, and nothing large is in git."""

from __future__ import annotations

import ast
import shutil
import subprocess

import pytest
from source_trees import ROOT, parse, python_files

FOLDERS = ("src", "automation", "script", "tools", "tests", "bench")
MOST_FUNCTION_LINES = 60
MOST_FILE_LINES = 500
MOST_PARAMETERS = 7
MOST_FILE_BYTES = 1_000_000

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions() -> list[tuple[str, Function]]:
    """Return every function of the project, with a text that says where it is."""
    return [
        (f"{file.relative_to(ROOT)}:{node.lineno} {node.name}", node)
        for file in python_files(*FOLDERS)
        for node in ast.walk(parse(file))
        if isinstance(node, Function)
    ]


def test_functions_are_short() -> None:
    lengths = {where: (node.end_lineno or 0) - node.lineno + 1 for where, node in functions()}
    assert {where: n for where, n in lengths.items() if n > MOST_FUNCTION_LINES} == {}


def test_functions_take_few_parameters() -> None:
    counts = {where: _parameters(node) for where, node in functions() if "/tests/" not in where}
    assert {where: n for where, n in counts.items() if n > MOST_PARAMETERS} == {}


def _parameters(node: Function) -> int:
    arguments = node.args
    names = [each.arg for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return len([name for name in names if name not in {"self", "cls"}])


def test_files_are_short() -> None:
    files = [*python_files(*FOLDERS), *(ROOT / "script").rglob("*.sh"), ROOT / "bootstrap"]
    lengths = {str(file.relative_to(ROOT)): len(_lines(file.read_bytes())) for file in files}
    assert {name: n for name, n in lengths.items() if n > MOST_FILE_LINES} == {}


def _lines(content: bytes) -> list[bytes]:
    return content.splitlines()


def test_no_file_in_git_is_large() -> None:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is not a git checkout")
    command = ["git", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
    files = [ROOT / name for name in listed.decode().split("\0") if name]
    sizes = {str(file): file.lstat().st_size for file in files if file.exists()}
    assert sizes != {}
    assert {name: size for name, size in sizes.items() if size > MOST_FILE_BYTES} == {}

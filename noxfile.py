"""Checks in environments of their own: ``nox -s lint``, ``nox -s tests-3.12``, ``nox -s wheel``."""

from __future__ import annotations

from pathlib import Path

import nox

nox.options.sessions = ["lint", "tests"]
nox.options.error_on_missing_interpreters = False

PYTHONS = ["3.10", "3.11", "3.12", "3.13"]


@nox.session
def lint(session: nox.Session) -> None:
    """Run the linters over the whole tree."""
    session.install("--editable", ".[test]")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")
    session.run("shellcheck", "bootstrap", ".ci/run")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests; arguments after ``--`` go to pytest."""
    session.install("--editable", ".[test]")
    repositories = session.create_tmp()
    session.run("pytest", *session.posargs, env={"CM_REPOS": f"{repositories}/cm"})


@nox.session
def mlcr(session: nox.Session) -> None:
    """Run our recipes with mlcflow, which is installed in an environment of its own."""
    session.install("--editable", ".[test]")
    other = str(Path(session.create_tmp(), "mlcflow").resolve())
    session.run("python", "-m", "venv", other)
    python = f"{other}/bin/python"
    session.run(python, "-m", "pip", "install", "--quiet", "mlcflow==1.3.8", external=True)
    environment = {"CM4STORAGE_MLCFLOW_PYTHON": python}
    session.run("pytest", "tests/portability/test_mlcflow.py", *session.posargs, env=environment)


@nox.session
def wheel(session: nox.Session) -> None:
    """Build both packages into ``dist``, install the wheel and find its recipes with cm."""
    session.install("build")
    session.run("python", "-m", "build", "--outdir", "dist")
    session.install(
        "--force-reinstall", "--no-index", "--no-deps", "--find-links=dist", "cm4storage"
    )
    session.install("cmind")
    repositories = session.create_tmp()
    session.run("cm", "find", "script", env={"CM_REPOS": f"{repositories}/cm"})


@nox.session
def oracle(session: nox.Session) -> None:
    """Run the same recipes under this engine and under the original one; compare the results."""
    session.install("--editable", ".[test]")
    original = str(Path(session.create_tmp(), "original").resolve())
    session.run("python", "-m", "venv", original)
    python = f"{original}/bin/python"
    session.run(
        python, "-m", "pip", "install", "--quiet", "cmx4mlops==1.0.1", "cmind==4.2.0", external=True
    )
    environment = {"CM4STORAGE_ORACLE_PYTHON": python}
    tests = ["tests/oracle", "tests/portability/test_original.py"]
    session.run("pytest", *(session.posargs or tests), env=environment)

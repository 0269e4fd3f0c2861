"""Checks in environments of their own: ``nox -s lint``, ``nox -s tests-3.12``, ``nox -s wheel``."""

from __future__ import annotations

import os
from pathlib import Path
from shutil import which

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
@nox.parametrize("mark", ["install", "soak"], ids=["install", "soak"])
def long(session: nox.Session, mark: str) -> None:
    """Run the tests that take too long for each change."""
    session.install("--editable", ".[test]")
    repositories = session.create_tmp()
    environment = {"CM_REPOS": f"{repositories}/cm"}
    session.run("pytest", "-m", mark, *session.posargs, env=environment)


@nox.session
def search(session: nox.Session) -> None:
    """Let hypothesis look for new examples that fail; ``-- 10`` does so ten times."""
    session.install("--editable", ".[test]")
    repositories = session.create_tmp()
    for _ in range(int(*session.posargs[:1] or ["3"])):
        session.run(
            "pytest", "-m", "hypothesis", "--hypothesis-profile=search",
            env={"CM_REPOS": f"{repositories}/cm"},
        )  # fmt: skip


def python_with(session: nox.Session, *packages: str) -> str:
    """Return the Python of another environment, which has these packages and none of ours."""
    place = str(Path(session.create_tmp(), "other").resolve())
    session.run("python", "-m", "venv", place)
    python = f"{place}/bin/python"
    session.run(python, "-m", "pip", "install", "--quiet", *packages, external=True)
    return python


@nox.session
def mlcr(session: nox.Session) -> None:
    """Run our recipes with mlcflow, which is installed in an environment of its own."""
    session.install("--editable", ".[test]")
    environment = {"CM4STORAGE_MLCFLOW_PYTHON": python_with(session, "mlcflow==1.3.8")}
    session.run("pytest", "tests/portability/test_mlcflow.py", *session.posargs, env=environment)


@nox.session
def dlio(session: nox.Session) -> None:
    """Let dlio-benchmark train on our data sets, and train on its own; 2.6 GB of packages."""
    session.install("--editable", ".[test]")
    python = python_with(session, "--no-deps", "dlio-benchmark==2.0.0")
    # A plain "torch" would bring several GB of CUDA; a newer pydftracer breaks the wheel.
    session.run(
        python, "-m", "pip", "install", "--quiet", "torch==2.13.0", "tensorflow-cpu",
        "pydftracer==1.0.2", "mpich", "mpi4py", "hydra-core>=1.3.2", "omegaconf", "numpy", "h5py",
        "pandas", "psutil", "Pillow", "PyYAML", external=True,
    )  # fmt: skip
    environment = {"CM4STORAGE_DLIO_PYTHON": python}
    session.run("pytest", *(session.posargs or ["tests/dlio"]), env=environment)


@nox.session
def browser(session: nox.Session) -> None:
    """Open the pages of runs in the Chromium or Chrome of this machine."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    found = os.environ.get("CM4STORAGE_CHROMIUM") or next(filter(None, map(which, names)), None)
    if found is None:
        session.error("there is no Chromium here; on Debian: apt-get install chromium")
    session.install("--editable", ".[test]", "playwright>=1.49")
    environment = {"CM4STORAGE_CHROMIUM": found}
    session.run("pytest", "-m", "browser", "tests/browser", *session.posargs, env=environment)


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
    python = python_with(session, "cmx4mlops==1.0.1", "cmind==4.2.0")
    environment = {"CM4STORAGE_ORACLE_PYTHON": python}
    tests = ["tests/oracle", "tests/portability/test_original.py"]
    session.run("pytest", *(session.posargs or tests), env=environment)

"""The recipe engine against the original's, side by side: whole ``cm`` calls, in turn.

Run: ``python bench/engine.py [--rounds N] [--peer PYTHON] [--only TEXT]``.

The original is PyPI ``cmx4mlops`` 1.0.1 in an environment of its own, made on first use, or the
one of ``--peer``. Both engines see the same repositories: one with the recipes of the cases, one
with as many more recipes as the case says, each with metadata of the median size of cmx4mlops'
own. A case's figure is the median over the rounds of a call's time less that of a toy automation
in the same round, which does nothing: cmind's own floor. Per-dep figures are the difference of
two calls, divided by the number of deps between them. The spread is the interquartile range.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from dataclasses import dataclass, field
from pathlib import Path

import yaml

CHECKOUT = Path(__file__).resolve().parents[1]
PEER_PACKAGE = "cmx4mlops==1.0.1"
ROUNDS = 11
RECIPE = {"automation_alias": "script", "automation_uid": "5b4e0237da074764"}
TOY = """\
from cmind.automation import Automation
class CAutomation(Automation):
    def __init__(self, cmind, automation_file):
        super().__init__(cmind, __file__)
    def run(self, i):
        return {"return": 0}
"""


@dataclass(frozen=True)
class Case:
    """A figure: the time of one call less that of another, over a number of deps."""

    name: str
    more_recipes: int
    tags: str
    less: str = ""
    deps: int = 1
    limit_ms: float | None = None


CASES = (
    Case("no-op, over the toy", 100, "noop,bench", limit_ms=8),
    Case("no-op, over the toy", 3000, "noop,bench", limit_ms=12),
    Case("a dep without run.sh", 0, "flat20,bench", "flat10,bench", 10, 1.5),
    Case("a dep without run.sh", 300, "flat20,bench", "flat10,bench", 10, 1.5),
    Case("a cached dep", 0, "cached20,bench", "cached10,bench", 10, 1.5),
    Case("a cached dep", 300, "cached20,bench", "cached10,bench", 10, 1.5),
    Case("a nested dep", 300, "nested0,bench", "nested10,bench", 10),
    Case("diamond 5 x 5 cached, over the toy", 100, "diamond,bench", limit_ms=25),
    Case("cached hit, over the toy", 100, "kept1,bench"),
    Case("customize and run.sh, over the toy", 100, "shell,bench"),
)


@dataclass
class Engine:
    """One engine: an interpreter with cmind, and where its ``script`` automation is."""

    name: str
    python: Path
    automation: Path
    homes: dict[int, Path] = field(default_factory=dict)

    def environment(self, home: Path) -> dict[str, str]:
        """Return the environment of a user whose CM is in `home`; bytecode is kept."""
        return {
            "PATH": f"{self.python.parent}:{os.environ['PATH']}",
            "HOME": str(home),
            "CM_REPOS": str(home / "CM"),
            "TMPDIR": str(home / "tmp"),
            "CM_CORE_SKIP_INTERNAL_REPOS": "yes",
            "LC_ALL": "C.UTF-8",
        }

    def cm(self, home: Path, *words: str) -> float:
        """Run ``cm`` to its end and return the seconds it took."""
        command = [str(self.python.with_name("cm")), *words]
        begin = time.perf_counter()
        done = subprocess.run(
            command, cwd=home, env=self.environment(home), capture_output=True, text=True,
            stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        duration_s = time.perf_counter() - begin
        if done.returncode:
            sys.exit(f"{self.name}: {' '.join(words)} failed:\n{done.stdout}{done.stderr}")
        return duration_s

    def prepare(self, more_recipes: int, cases: Path, folder: Path) -> None:
        """Make a CM home with the repositories of a case."""
        home = folder / f"{self.name}-{more_recipes}"
        (home / "tmp").mkdir(parents=True)
        fill = make_repository(home / "fill")
        for number in range(more_recipes):
            write_recipe(fill, f"fill-{number}", tags=["fill", f"f{number}"])
        for repository in (self.automation, cases, fill):
            self.cm(home, "init", "repo", f"--path={repository}")
        self.homes[more_recipes] = home

    def script(self, more_recipes: int, tags: str) -> float:
        """Run a recipe, or the toy if no tags are given; return the seconds."""
        words = ("script", f"--tags={tags}", "--quiet") if tags else ("toy",)
        return self.cm(self.homes[more_recipes], "run", *words)


def make_repository(folder: Path) -> Path:
    """Make an empty repository and return its folder."""
    (folder / "script").mkdir(parents=True)
    uid = f"{abs(hash(str(folder))):016x}"[:16]
    (folder / "cmr.yaml").write_text(f'alias: {folder.name}\nuid: "{uid}"\n')
    return folder


def write_recipe(repository: Path, alias: str, **metadata: object) -> Path:
    """Write a recipe whose metadata is about as long as the median of real ones (870 bytes)."""
    folder = repository / "script" / alias
    folder.mkdir(parents=True)
    padding = {
        "category": "Bench",
        "name": f"A recipe called {alias}",
        "default_env": {f"BENCH_{n}": f"value {n}" for n in range(6)},
        "new_env_keys": [f"BENCH_OUT_{alias.upper().replace('-', '_')}"],
        "variations": {
            name: {"group": "kind", "env": {"BENCH_KIND": name}} for name in ("one", "two", "six")
        },
    }
    uid = alias.encode().hex()[-16:].rjust(16, "0")
    described = {"alias": alias, "uid": uid, **RECIPE, **padding, **metadata}
    (folder / "_cm.yaml").write_text(yaml.safe_dump(described, sort_keys=False))
    return folder


def make_cases(folder: Path) -> Path:
    """Write the recipes of all cases."""
    repository = make_repository(folder / "cases")
    toy = repository / "automation" / "toy"
    toy.mkdir(parents=True)
    (toy / "_cm.yaml").write_text(
        'alias: toy\nuid: "00000000000000f0"\nautomation_alias: automation\n'
        'automation_uid: "bbeb15d8f0a944a4"\n'
    )
    (toy / "module.py").write_text(TOY)
    write_recipe(repository, "noop", tags=["noop", "bench"])
    for kind, cache in (("leaf", False), ("kept", True)):
        for number in range(30):
            write_recipe(
                repository, f"{kind}{number}", tags=[f"{kind}{number}", "bench"], cache=cache
            )
    for count in (10, 20):
        for name, kind in (("flat", "leaf"), ("cached", "kept")):
            deps = [{"tags": f"{kind}{n},bench"} for n in range(count)]
            write_recipe(repository, f"{name}{count}", tags=[f"{name}{count}", "bench"], deps=deps)
    for number in range(20):
        deps = [{"tags": f"nested{number + 1},bench"}] if number < 19 else []
        write_recipe(repository, f"nested{number}", tags=[f"nested{number}", "bench"], deps=deps)
    arms = [{"tags": f"arm{n},bench"} for n in range(5)]
    for number in range(5):
        deps = [{"tags": f"kept{n},bench"} for n in range(5)]
        write_recipe(
            repository, f"arm{number}", tags=[f"arm{number}", "bench"], deps=deps, cache=True
        )
    write_recipe(repository, "diamond", tags=["diamond", "bench"], deps=arms)
    shell = write_recipe(repository, "shell", tags=["shell", "bench"])
    (shell / "customize.py").write_text("def preprocess(i):\n    return {'return': 0}\n")
    (shell / "run.sh").write_text("true\n")
    return repository


def peer_engine(python: Path | None, folder: Path) -> Engine:
    """Return the original: its automations alone, without its recipes."""
    if python is None:
        place = Path(tempfile.gettempdir()) / f"bench-{PEER_PACKAGE}"
        python = place / "bin" / "python"
        if not python.exists():
            venv.create(place, with_pip=True)
            packages = [PEER_PACKAGE, "cmind"]
            subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    found = next((python.parents[1] / "lib").glob("python3*/site-packages/cmx4mlops/repo"))
    repository = make_repository(folder / "original")
    shutil.copytree(found / "automation", repository / "automation")
    return Engine("original", python, repository)


def measure(engine: Engine, case: Case) -> float:
    """Return a case's figure of one round, in milliseconds."""
    duration_s = engine.script(case.more_recipes, case.tags)
    base_s = engine.script(case.more_recipes, case.less)
    return (duration_s - base_s) / case.deps * 1000


def text_of(figures: list[float]) -> str:
    """Return the median and the interquartile range."""
    low, middle, high = statistics.quantiles(figures, n=4)
    return f"{middle:7.2f}  ({low:.2f} .. {high:.2f})"


def main() -> None:
    """Measure all cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--peer", type=Path, help="a Python that has cmx4mlops and cmind")
    parser.add_argument("--only", default="", help="only the cases whose name holds this text")
    parser.add_argument("--ours-alone", action="store_true", help="leave out the original")
    options = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    cases = [case for case in CASES if options.only in case.name]
    with tempfile.TemporaryDirectory(prefix="bench-engine-") as name:
        folder = Path(name)
        engines = [Engine("ours", Path(sys.executable), CHECKOUT)]
        if not options.ours_alone:
            engines.insert(0, peer_engine(options.peer, folder))
        repository = make_cases(folder)
        for engine in engines:
            for more in sorted({case.more_recipes for case in cases}):
                engine.prepare(more, repository, folder)
        print(f"{'ms, median (quartiles)':<48}", *(f"{e.name:<28}" for e in engines), "aim")
        for case in cases:
            report(case, engines, options.rounds)


def report(case: Case, engines: list[Engine], rounds: int) -> None:
    """Measure one case, the engines in turn, and print its line."""
    figures: dict[str, list[float]] = {engine.name: [] for engine in engines}
    for round_number in range(-1, rounds):
        for engine in engines:
            figure = measure(engine, case)
            if round_number >= 0:  # the first round fills caches
                figures[engine.name].append(figure)
    aim = "" if case.limit_ms is None else f"under {case.limit_ms:g}"
    name = f"{case.name}, {case.more_recipes} recipes more"
    print(f"{name:<48}", *(f"{text_of(figures[e.name]):<28}" for e in engines), aim, flush=True)


if __name__ == "__main__":
    main()

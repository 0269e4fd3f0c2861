"""Choose the interpreter that runs cm4storage: this one if it can, else one in the CM cache."""

import hashlib
import re
import sys
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).resolve().parent


def preprocess(i):
    """Find the library beside this recipe, and ask for a virtual environment where it is needed."""
    env = i["env"]
    source = HERE.parents[1] / "src"
    package = source / "cm4storage" if source.is_dir() else HERE.parents[2]
    env["MLPERF_STORAGE_LIBRARY_DIGEST"] = _digest(package)
    env["MLPERF_STORAGE_LAUNCHER"] = str(HERE / "launch.sh")
    env["MLPERF_STORAGE_PYTHONPATH"] = str(source) if source.is_dir() else ""
    extras = env.get("MLPERF_STORAGE_EXTRA_REQUIREMENTS", "").split()
    extras += env.get("MLPERF_STORAGE_CLIENT_REQUIREMENTS", "").split()
    if not extras and Path(env.get("MLPERF_STORAGE_PYTHON", "")).is_file():
        return {"return": 0}  # this run has chosen one already, with whatever extras
    _notice_foreign_engine(i.get("automation"))
    env["MLPERF_STORAGE_PYTHON"] = sys.executable
    requirements = [*env["MLPERF_STORAGE_REQUIREMENTS"].split(), *extras]
    missing = [requirement for requirement in requirements if not _is_met(requirement)]
    if missing:
        print(f"this Python lacks {', '.join(missing)}: using one in the CM cache")
        base = f"{Path(sys.executable).resolve()} {sys.version}"
        purpose = f"{base} {' '.join(requirements)}"
        env["MLPERF_STORAGE_NEEDS_VENV"] = "yes"
        env["MLPERF_STORAGE_VENV_BASE"] = sys.executable
        env["MLPERF_STORAGE_VENV_BASE_VERSION"] = base
        env["MLPERF_STORAGE_VENV_REQUIREMENTS"] = " ".join(requirements)
        env["MLPERF_STORAGE_VENV_PURPOSE"] = hashlib.sha256(purpose.encode()).hexdigest()[:12]
        env["MLPERF_STORAGE_VENV_LIBRARY"] = "" if source.is_dir() else str(package)
    return {"return": 0}


def postprocess(i):
    """Check that the interpreter is there; a cached one may have lost its base."""
    python = i["env"].get("MLPERF_STORAGE_VENV_PYTHON") or i["env"]["MLPERF_STORAGE_PYTHON"]
    if not Path(python).exists():
        advice = "remove the entry: cm rm cache --tags=get,python,venv,storage -f"
        return {"return": 1, "error": f"the interpreter {python} has gone; {advice}"}
    i["env"]["MLPERF_STORAGE_PYTHON"] = python
    return {"return": 0}


def _notice_foreign_engine(automation):
    """Say so when another CM repository's automation runs the recipes in place of ours."""
    is_ours = type(automation).__module__.partition(".")[0] in ("types", "cm4storage")
    if not is_ours and hasattr(automation, "cmind"):
        where = getattr(automation, "path", "") or "another repository"
        print(
            f"note: the script automation of {where} runs this recipe; its cache does not notice "
            "changed inputs. To use cm4storage's own: cm run cm4storage:script --tags=...",
            file=sys.stderr,
        )


def _digest(package):
    """Return a digest of the library's code and data, the recipes of a wheel left out."""
    hasher = hashlib.sha256()
    for path in sorted(package.rglob("*")):
        name = path.relative_to(package)
        if path.suffix in (".py", ".yaml") and name.parts[0] != "repo":
            hasher.update(f"{name.as_posix()} {path.stat().st_size} ".encode())
            hasher.update(path.read_bytes())
    return hasher.hexdigest()[:16]


def _is_met(requirement):
    name, _, least = requirement.partition(">=")
    try:
        return _numbers(metadata.version(name)) >= _numbers(least)
    except metadata.PackageNotFoundError:
        return False


def _numbers(version):
    return [int(part) for part in re.findall(r"\d+", version)[:3]]

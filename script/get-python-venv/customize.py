"""Tell where the environment's interpreter is."""

from pathlib import Path


def preprocess(i):
    """Refuse to make an environment for nothing."""
    if not i["env"].get("MLPERF_STORAGE_VENV_REQUIREMENTS"):
        text = "this recipe serves get,cm4storage,python: run that one"
        return {"return": 2, "error": text}
    return {"return": 0}


def postprocess(i):
    """Name the interpreter."""
    i["env"]["MLPERF_STORAGE_VENV_PYTHON"] = str(Path.cwd() / "venv" / "bin" / "python")
    return {"return": 0}

"""Name the folder of the results, and find out at once whether it can be written."""

import tempfile
from pathlib import Path


def preprocess(i):
    """Take the caller's folder by default; leave nothing in it yet."""
    env = i["env"]
    caller = env.get("CM_TMP_CURRENT_PATH") or env.get("MLC_TMP_CURRENT_PATH") or Path.cwd()
    folder = Path(env.get("MLPERF_STORAGE_RESULTS_DIR") or Path(caller) / "results")
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    try:
        # Rights alone do not tell: the file system may be read-only, or refuse for its own reasons.
        Path(tempfile.mkdtemp(prefix=".cm4storage-", dir=existing)).rmdir()
    except OSError as error:
        text = f"cannot make a folder for the results in {existing}: {error.strerror}"
        return {"return": 3, "error": f"{text}; choose another with --results_dir"}
    env["MLPERF_STORAGE_RESULTS_DIR"] = str(folder)
    return {"return": 0}

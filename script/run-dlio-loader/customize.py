"""Say where results go, and where the record of the run is."""

import json
from pathlib import Path


def preprocess(i):
    """Put the results into the caller's folder by default."""
    env = i["env"]
    if not env.get("MLPERF_STORAGE_RESULTS_DIR"):
        caller = env.get("CM_TMP_CURRENT_PATH") or env.get("MLC_TMP_CURRENT_PATH") or Path.cwd()
        env["MLPERF_STORAGE_RESULTS_DIR"] = str(Path(caller) / "results")
    return {"return": 0}


def postprocess(i):
    """Read the outcome of the run."""
    result = json.loads(Path("run.json").read_text(encoding="utf-8"))
    i["env"]["MLPERF_STORAGE_RUN_DIR"] = result["run_dir"]
    return {"return": 0}

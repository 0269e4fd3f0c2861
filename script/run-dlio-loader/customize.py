"""Tell where the record of the run is."""

import json
from pathlib import Path


def postprocess(i):
    """Read the outcome of the run."""
    result = json.loads(Path("run.json").read_text(encoding="utf-8"))
    i["env"]["MLPERF_STORAGE_RUN_DIR"] = result["run_dir"]
    return {"return": 0}

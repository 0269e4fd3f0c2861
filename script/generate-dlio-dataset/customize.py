"""Tell where the data set is."""

import json
from pathlib import Path


def postprocess(i):
    """Read the outcome of the generation."""
    result = json.loads(Path("data-set.json").read_text(encoding="utf-8"))
    i["env"]["MLPERF_STORAGE_DATASET_URI"] = result["uri"]
    return {"return": 0}

"""Check that a folder is named."""


def preprocess(i):
    """Ask for a folder with results."""
    if not i["env"].get("MLPERF_STORAGE_EXPLORE_DIR"):
        return {"return": 2, "error": "name a folder with results: --results_dir=results"}
    return {"return": 0}

"""Check that a run is named."""


def preprocess(i):
    """Ask for the folder of a run."""
    if not i["env"].get("MLPERF_STORAGE_RUN_DIR"):
        return {"return": 2, "error": "name the folder of a run: --run_dir=results/.../run/<time>"}
    return {"return": 0}

"""Check that there is something to compare."""


def preprocess(i):
    """Ask for a baseline and for what is judged by it."""
    env = i["env"]
    if not env.get("MLPERF_STORAGE_BASELINE") or not env.get("MLPERF_STORAGE_CANDIDATE"):
        return {"return": 2, "error": "name two folders of results: --baseline and --candidate"}
    return {"return": 0}

"""Name the place of the checkpoints, and the command that runs the whole job again."""

import json
import os
import shlex
from pathlib import Path
from urllib.parse import quote


def preprocess(i):
    """Keep the checkpoints of each model apart, as MLPerf Storage does."""
    env = i["env"]
    if env.get("MLPERF_STORAGE_PLAN", "").lower() not in ("", "yes", "true"):
        return {"return": 1, "error": "--plan takes no value: write --plan, or leave it out"}
    env["MLPERF_STORAGE_CHECKPOINT_URI"] = _checkpoint_uri(env)
    env["MLPERF_STORAGE_RERUN_COMMAND"] = _command(env, i)
    return {"return": 0}


def _checkpoint_uri(env):
    """Return the folder of the model below that of the data, whose URI is quoted for folders."""
    root = env.get("MLPERF_STORAGE_DATA_URI", "")
    if env.get("MLPERF_STORAGE_PLAN") or not root:
        return ""
    workload = json.loads(Path(env["MLPERF_STORAGE_WORKLOAD_FILE"]).read_text(encoding="utf-8"))
    model = workload["settings"]["model.name"]
    if root.startswith(("file://", "directio://")):
        model = quote(model)
    return f"{root.rstrip('/')}/checkpoints/{model}"


def _command(env, i):
    meta = i["meta"]
    variations = [f"_{name}" for name in i["variation_tags"]]
    command = ["run", "script", "--tags=" + ",".join([*meta["tags"], *variations])]
    for name, key in meta["input_mapping"].items():
        if env.get(key):
            command.append(f"--{name}={env[key]}")
    engine = "mlc" if env.get("MLC_TMP_CURRENT_PATH") else "cm"
    cm = os.environ.get("MLPERF_STORAGE_CM_COMMAND", engine)
    return f"{cm} {shlex.join(command)}"


def postprocess(i):
    """Read the outcome of the run; a plan leaves none."""
    result = json.loads(Path("checkpoint-run.json").read_text(encoding="utf-8"))
    i["env"]["MLPERF_STORAGE_RUN_DIR"] = result.get("run_dir", "")
    return {"return": 0}

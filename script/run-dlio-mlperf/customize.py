"""Compose the command that runs the whole job again."""

import os
import shlex


def preprocess(i):
    """Put the command where the report shows it."""
    env, meta = i["env"], i["meta"]
    variations = [f"_{name}" for name in i["variation_tags"]]
    command = ["run", "script", "--tags=" + ",".join([*meta["tags"], *variations])]
    for name, key in meta["input_mapping"].items():
        if env.get(key):
            command.append(f"--{name}={env[key]}")
    engine = "mlc" if env.get("MLC_TMP_CURRENT_PATH") else "cm"
    cm = os.environ.get("MLPERF_STORAGE_CM_COMMAND", engine)
    env["MLPERF_STORAGE_RERUN_COMMAND"] = f"{cm} {shlex.join(command)}"
    return {"return": 0}

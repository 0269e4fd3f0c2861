"""Compose the command that runs the sweep again, and tell where its results are."""

import json
import os
import shlex
from pathlib import Path


def preprocess(i):
    """Ask for a key, and put the command where the results show it."""
    env, meta = i["env"], i["meta"]
    if not env.get("MLPERF_STORAGE_SWEEP"):
        text = (
            'name a key and its values: --sweep.KEY="V1 V2", as --sweep.reader.read_threads="1 2"'
        )
        return {"return": 2, "error": text}
    # Other engines hand on what was parsed: a mapping of mappings.
    env["MLPERF_STORAGE_SWEEP"] = " ".join(_settings(env["MLPERF_STORAGE_SWEEP"]))
    variations = [f"_{name}" for name in i["variation_tags"]]
    command = ["run", "script", "--tags=" + ",".join([*meta["tags"], *variations])]
    for name, key in meta["input_mapping"].items():
        if env.get(key):
            command.append(f"--{name}={env[key]}")
    engine = "mlc" if env.get("MLC_TMP_CURRENT_PATH") else "cm"
    cm = os.environ.get("MLPERF_STORAGE_CM_COMMAND", engine)
    env["MLPERF_STORAGE_RERUN_COMMAND"] = f"{cm} {shlex.join(command)}"
    return {"return": 0}


def postprocess(i):
    """Name the folder of the sweep; a dry run has none."""
    result = Path("sweep.json")
    if result.exists():
        outcome = json.loads(result.read_text(encoding="utf-8"))
        i["env"]["MLPERF_STORAGE_SWEEP_DIR"] = outcome["sweep_dir"]
    return {"return": 0}


def _settings(value, key=""):
    if not isinstance(value, dict):
        return [f"{key}={value}" if key else str(value)]
    return [
        text
        for name, inner in value.items()
        for text in _settings(inner, f"{key}.{name}" if key else name)
    ]

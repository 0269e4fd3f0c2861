"""Runs steps under the engine of the interpreter that it is started with; no part of the tests.

usage: python drive.py STEPS.json RESULTS.json

Each step is cmind's input; it runs in a process of its own, so that nothing is left of the last.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path


def main() -> None:
    """Run the steps and write their results."""
    import cmind  # noqa: F401 - once, before the steps' processes branch off

    steps = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    results = [_run(step) for step in steps]
    Path(sys.argv[2]).write_text(json.dumps(results), encoding="utf-8")


def _run(step: dict) -> dict:
    """Run one step in a child and return what it wrote."""
    log, result = Path(step["log"]), Path(step["log"] + ".json")
    log.touch()
    child = os.fork()
    if not child:
        _child(step, result)
    os.waitpid(child, 0)
    found = json.loads(result.read_text(encoding="utf-8")) if result.exists() else {"return": 99}
    return {**found, "log": log.read_text(encoding="utf-8").splitlines()}


def _child(step: dict, result: Path) -> None:
    os.environ["ORACLE_LOG"] = step["log"]
    os.chdir(step["folder"])
    try:
        import cmind

        found = cmind.access({"action": "run", "out": "con", **step["input"]})
    except BaseException:  # noqa: BLE001 - the original lets recipes' exceptions through
        found = {"return": 98, "error": traceback.format_exc()}
    keys = ("return", "error", "new_env", "new_state", "deps")
    kept = {key: found[key] for key in keys if key in found}
    result.write_text(json.dumps(kept, default=str), encoding="utf-8")
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()

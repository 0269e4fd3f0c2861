"""What the hooks and scripts of one running recipe share: their input, and how a script is run."""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import os
import struct
import sys
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import UserError
from cm4storage.core.records import dataclass
from cm4storage.scripting.automations import SCRIPT_AUTOMATION
from cm4storage.scripting.environment import merge
from cm4storage.scripting.metadata import LATER_PHASES, parse_dependency
from cm4storage.scripting.toolbox.automation import Automation
from cm4storage.scripting.toolbox.changes import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import ModuleType

    from cm4storage.scripting.prepare import Prepared
    from cm4storage.scripting.session import Session

ENV_FILE = "tmp-run-env.out"
RUN_STATE_FILE = "tmp-run-state.json"
GIVEN_STATE_FILE = "tmp-state.json"

_BITS = str(8 * struct.calcsize("P"))

OS_INFO: Mapping[str, Any] = {
    "platform": "darwin" if sys.platform == "darwin" else "linux",
    "bits": "64" if os.uname().machine.endswith("64") else _BITS,
    "python_bits": _BITS,
    "bat_ext": ".sh",
    "set_env": 'export ${key}="${value}"',
    "env_separator": ":",
    "env_var": "${env_var}",
    "set_exec_file": 'chmod 755 "${file_name}"',
    "bat_rem": "# ${rem}",
    "run_local_bat": ". ./${bat_file}",
    "run_local_bat_from_python": 'bash -c ". ./${bat_file}"',
    "run_bat": ". ${bat_file}",
    "start_script": ["#!/bin/bash", ""],
    "env": {},
}


class NoCM:
    """Stands for ``automation.cmind`` where the engine runs without cmind."""

    logger = logging.getLogger("cm4storage.recipes")

    def access(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Refuse: there is no cmind to ask."""
        asked = f"{given.get('action', '')} {given.get('automation', '')}".strip()
        return {"return": 1, "error": f"this recipe needs cmind ({asked}): run it with cm"}


class Stage:
    """One recipe's phases while they run.

    Parameters
    ----------
    starter : callable
        Runs a shell script of this stage with an environment and returns its exit code.
    """

    def __init__(
        self,
        session: Session,
        prepared: Prepared,
        folder: Path,
        hooks: ModuleType | None,
        starter: Callable[[Stage, Path, Mapping[str, Any]], int],
    ) -> None:
        self.session = session
        self.prepared = prepared
        self.folder = folder
        self.hooks = hooks
        self.starter = starter
        recipe = prepared.recipe
        later = {
            phase: [plain(dependency) for dependency in prepared.dependencies[phase]]
            for phase in LATER_PHASES
            if prepared.dependencies[phase]
        }
        # What the hooks get; they share it and may change it.
        self._given_out: dict[str, Any] = copy.deepcopy(later)
        self.meta: dict[str, Any] = {**recipe.raw, **later}
        self.automation = Automation(
            meta=dict(zip(("alias", "uid"), SCRIPT_AUTOMATION, strict=True)),
            path=str(recipe.folder),
            cmind=self.session.cm if self.session.cm is not None else NoCM(),
            os_info=OS_INFO,
            run_native=self.run_native,
            say=self.session.console.line,
        )
        self.run_script_input: dict[str, Any] = {
            "path": str(recipe.folder),
            "work_path": str(self.folder),
            "bat_ext": ".sh",
            "os_info": dict(OS_INFO),
            "env": prepared.env,
            "state": prepared.state,
            "const": prepared.const,
            "const_state": {},
            "meta": self.meta,
            "recursion": bool(prepared.call.chain),
            "recursion_spaces": "  " * len(prepared.call.chain),
            "found_script_tags": list(recipe.tags),
            "variation_tags_string": ",".join(f"_{name}" for name in prepared.variations),
            "script_name": "",
            "run_state": self._run_state(),
            "self": self.automation,
        }

    def hook_input(self) -> dict[str, Any]:
        """Return what a hook is called with."""
        recipe, prepared = self.prepared.recipe, self.prepared
        return {
            "env": prepared.env,
            "state": prepared.state,
            "const": prepared.const,
            "meta": self.meta,
            "input": self._input(),
            "automation": self.automation,
            "artifact": _Artifact(str(recipe.folder), dict(recipe.raw)),
            "os_info": dict(OS_INFO),
            "script_tags": list(prepared.call.query.tags or recipe.tags),
            "variation_tags": list(prepared.variations),
            "run_script_input": self.run_script_input,
            "recursion_spaces": self.run_script_input["recursion_spaces"],
            "customize": recipe.raw.get("customize", {}),
        }

    def _asked_variations(self) -> list[str]:
        """Return the variations that the call names, as CM gives them: without the defaults."""
        query = self.prepared.call.query
        return [*query.variations, *(f"-{name}" for name in query.without_variations)]

    def _run_state(self) -> dict[str, Any]:
        recipe = self.prepared.recipe
        return {
            "script_id": f"{recipe.alias},{recipe.uid}",
            "script_tags": list(self.prepared.call.query.tags),
            "script_variation_tags": self._asked_variations(),
            "script_repo_alias": recipe.repository,
            "deps": [],
        }

    def _input(self) -> dict[str, Any]:
        call = self.prepared.call
        found = {
            "action": "run",
            "automation": "script",
            "tags": call.query.text(),
            "quiet": self.session.options.is_quiet,
            "add_deps_recursive": dict(call.add_deps_recursive),
            **call.inputs,
        }
        return {key: value for key, value in found.items() if value not in ("", False, {})}

    def start(self, script: Path, env: Mapping[str, Any]) -> int:
        """Run a shell script and return its exit code."""
        return self.starter(self, script, env)

    def take_changes(self) -> None:
        """Take over what a hook has changed about the dependencies that have yet to run."""
        for phase in LATER_PHASES:
            listed = self.meta.get(phase) or []
            given = self._given_out.get(phase, [])
            if listed != given:
                if _recipes_meant(listed) != _recipes_meant(given):
                    # Their code is not in the key, which was made before.
                    self.prepared.doubt = f"a hook changed which recipes run in {phase}"
                self._given_out[phase] = copy.deepcopy(listed)
                self.prepared.dependencies[phase] = [
                    parse_dependency(self.prepared.recipe, f"{phase}[{number}]", each)
                    for number, each in enumerate(listed)
                ]

    def script(self, given: Mapping[str, Any]) -> Path:
        """Return the script to run: what a hook has named, else what the metadata names."""
        prepared = self.prepared
        name = str(given.get("script_name") or prepared.script_name)
        return script_file(prepared.recipe.folder, name, given.get("env", prepared.env))

    def run_native(self, given: dict[str, Any], hook: str) -> dict[str, Any]:
        """Run a script for a hook, then another hook, without what they do to the state.

        The variables that the script writes to ``tmp-run-env.out`` land in ``given["env"]``.
        """
        env, state = given["env"], copy.deepcopy(dict(given.get("state") or {}))
        script = self.script(given)
        env |= self.prepared.const
        env["CM_TMP_CURRENT_SCRIPT_PATH"] = str(self.prepared.recipe.folder)
        env["CM_TMP_CURRENT_SCRIPT_WORK_PATH"] = str(self.folder)
        if script.is_file():
            for name in (ENV_FILE, RUN_STATE_FILE):
                (self.folder / name).unlink(missing_ok=True)
            status = self.start(script, env)
            if status:
                error = f"{self.prepared.recipe.alias}: {script.name}: exit code {status}"
                return {"return": 2, "error": error}
            collect(self.folder, env, state)
        function = getattr(self.hooks, hook, None) if hook else None
        if function is None:
            return {"return": 0}
        answer = function({**self.hook_input(), "env": env, "state": state})
        return answer if isinstance(answer, dict) else {"return": 0}


def _recipes_meant(dependencies: list[dict[str, Any]]) -> list[list[str]]:
    """Return the tags that select recipes: those that are no variations."""
    split = [str(each.get("tags", "")).split(",") for each in dependencies]
    return [[tag for tag in tags if tag.strip()[:1] not in ("_", "-")] for tags in split]


@dataclass(frozen=True)
class _Artifact:
    path: str
    meta: Mapping[str, Any]


def script_file(folder: Path, name: str, env: Mapping[str, Any]) -> Path:
    """Return the variant of a script for this system: ``run-ubuntu-22.04-x86_64.sh``, ``run.sh``.

    Which system it is stands in the environment once ``detect,os`` has run.
    """
    flavor, version, machine = (
        str(env.get(key, ""))
        for key in ("CM_HOST_OS_FLAVOR", "CM_HOST_OS_VERSION", "CM_HOST_PLATFORM_FLAVOR")
    )
    for suffix in (
        f"-{flavor}-{version}-{machine}",
        f"-{flavor}-{machine}",
        f"-{flavor}-{version}",
        f"-{flavor}",
        f"-{machine}",
    ):
        variant = folder / f"{name}{suffix}.sh"
        if flavor + machine and variant.is_file():
            return variant
    return folder / f"{name}.sh"


def collect(folder: Path, env: dict[str, Any], state: dict[str, Any]) -> None:
    """Take over what a script wrote for its recipe."""
    with contextlib.suppress(FileNotFoundError):
        # Not read_text: it would turn \r\n inside a value into \n.
        data = (folder / ENV_FILE).read_bytes()
        merge(env, parse_env_file(os.fsdecode(data)))
    with contextlib.suppress(FileNotFoundError):
        merge(state, _read_state(folder / RUN_STATE_FILE))


def parse_env_file(text: str) -> dict[str, str]:
    r"""Return the variables in a ``tmp-run-env.out``.

    Each line is KEY=VALUE. If the text holds a NUL, each record ends with one instead, so that
    values may have several lines: ``printf 'KEY=%s\0' "$VALUE"``.

    >>> parse_env_file("A=1\nB=x=y\n")
    {'A': '1', 'B': 'x=y'}
    """
    records = text.split("\0") if "\0" in text else text.split("\n")
    found = {}
    for record in records:
        name, equals, value = record.partition("=")
        if equals and name.strip():
            found[name.strip()] = value
    return found


def _read_state(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path.name} is no JSON", where=str(path), meaning=str(error)) from error
    if not isinstance(value, dict):
        raise UserError(f"{path.name} must hold an object", where=str(path))
    return value

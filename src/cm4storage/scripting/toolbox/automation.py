"""The object that customize.py knows as ``i["automation"]``.

Its methods take and return dictionaries, as recipes expect: ``{"return": 0, ...}``, or a number
above 0 with an ``error``; 16 says that something was looked for and is not there.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cm4storage.scripting.toolbox.changes import update_dependencies
from cm4storage.scripting.toolbox.search import files_in, folder_above, folders_with
from cm4storage.scripting.toolbox.versions import VersionLimits, compare_versions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NOT_FOUND = 16
VERSION_FILE = "tmp-ver.out"
INCOMPATIBLE = -1
"""What ``detect_version`` of a recipe returns for a tool that is another one of that name."""

_Answer = dict[str, Any]
_PASSED_ON = ("detect_version", "env_path_key", "hook", "run_script_input", "recursion_spaces")


class Automation:
    """The methods that recipes call.

    Parameters
    ----------
    meta : dict
        The recipe's metadata.
    path : str
        The recipe's folder.
    cmind : object
        What ``automation.cmind`` is: cmind's own access object, or a stand-in for it.
    os_info : dict
        What the recipe sees of the system.
    run_native : callable
        Runs ``SCRIPT.sh`` of the recipe with the environment of ``run_script_input``; takes that
        and the hook to call afterwards.
    say : callable
        Shows a line.
    """

    def __init__(
        self,
        *,
        meta: dict[str, Any],
        path: str,
        cmind: Any,
        os_info: Mapping[str, Any],
        run_native: Callable[[dict[str, Any], str], _Answer],
        say: Callable[[str], None],
    ) -> None:
        self.meta = meta
        self.path = path
        self.cmind = cmind
        self.os_info = os_info
        self.tmp_file_ver = VERSION_FILE
        self._run_native = run_native
        self._say = say

    def find_artifact(self, i: dict[str, Any]) -> _Answer:
        """Find a tool or file and put its path into ``env``.

        It is looked for in ``CM_INPUT`` (the file itself), in the folders of ``CM_TMP_PATH``, else
        in those of the variable ``default_path_env_key``. With ``detect_version`` the first one
        whose version the call accepts is taken.
        """
        env = i["env"]
        defaults = self.get_default_path_list(i)
        place = self._place(i, env, defaults)
        if place["return"]:
            return place
        found = self.find_file_in_paths(
            {
                **{key: i[key] for key in _PASSED_ON if key in i},
                "env": dict(env),
                "paths": place["paths"],
                "file_name": place["file_name"],
                "select": True,
            }
        )
        if found["return"]:
            return found
        if not found["found_files"]:
            return {"return": NOT_FOUND, "error": _not_found(place, found)}
        file = found["found_files"][0]
        self._say(f"{i.get('recursion_spaces', '')}    # Found artifact in {file}")
        _note_found(i, env, file, defaults)
        if i.get("env_path_key"):
            env[i["env_path_key"]] = file
        return {
            "return": 0,
            "found_path": os.path.dirname(file),  # noqa: PTH120 - keeps the spelling
            "found_file_path": file,
            "found_file_name": Path(file).name,
            "default_path_list": list(defaults),
        }

    def _place(self, i: Mapping[str, Any], env: Mapping[str, Any], defaults: list[str]) -> _Answer:
        forced = str(env.get("CM_INPUT", "")).strip()
        if forced:
            if not Path(forced).is_file():
                return {"return": 1, "error": f"file {forced} doesn't exist"}
            folder = str(Path(forced).parent)
            return {"return": 0, "paths": [folder], "file_name": Path(forced).name}
        asked = str(env.get("CM_TMP_PATH", ""))
        if not asked:
            return {"return": 0, "paths": defaults, "file_name": i["file_name"]}
        folders = [each for each in asked.split(os.pathsep) if each.strip()]
        missing = [each for each in folders if not Path(each).is_dir()]
        if missing and env.get("CM_TMP_PATH_IGNORE_NON_EXISTANT", "") != "yes":
            return {"return": 1, "error": f"path {missing[0]} doesn't exist"}
        return {"return": 0, "paths": folders, "file_name": i["file_name"]}

    def find_file_in_paths(self, i: dict[str, Any]) -> _Answer:
        """Find files by a pattern; with ``select``, the first one, whose version is accepted."""
        pattern = i.get("file_name_re") or i.get("file_name", "")
        if not pattern:
            return {"return": 1, "error": "file_name or file_name_re is needed to find a file"}
        refused: list[_Answer] = []
        found = files_in(
            i["paths"],
            pattern,
            is_regex=bool(i.get("file_name_re")),
            accepts=lambda path: _is_taken(i.get("hook"), path, refused),
        )
        if refused:
            return refused[0]
        if not i.get("select"):
            return {"return": 0, "found_files": found}
        return self._selected(i, found)

    def _selected(self, i: dict[str, Any], found: list[str]) -> _Answer:
        if not i.get("detect_version"):
            return {"return": 0, "found_files": found[:1], "rejected": []}
        env, given = i.get("env", {}), i["run_script_input"]
        limits, spaces = VersionLimits.of(env), i.get("recursion_spaces", "")
        rejected: list[str] = []
        for path in found:
            answer = self._run_native(
                {**given, "env": {**env, i["env_path_key"]: path}}, "detect_version"
            )
            if answer["return"] not in (0, 2):
                return answer
            version = answer.get("version", "")
            if version not in ("", INCOMPATIBLE) and limits.accepts(str(version)):
                return {"return": 0, "found_files": [path], "rejected": rejected}
            shown = f"version {version}" if version not in ("", INCOMPATIBLE) else "another tool"
            rejected.append(f"{path} ({shown})")
            self._say(f"{spaces}    * {path}: skipped, {shown}")
        return {"return": 0, "found_files": [], "rejected": rejected, "limits": str(limits)}

    def detect_version_using_script(self, i: dict[str, Any]) -> _Answer:
        """Run the recipe's script and its ``detect_version``; 16 if what it finds is not asked."""
        given = i["run_script_input"]
        given["env"] = i.get("env", given.get("env", {}))
        limits = VersionLimits.of(given["env"])
        answer = self._run_native(given, "detect_version")
        version = answer.get("version", "")
        if answer["return"] == 0 and version and limits.accepts(str(version)):
            return {"return": 0, "detected_version": version}
        shown = f": found {version}, wanted {limits}" if version else ""
        return {"return": NOT_FOUND, "error": f"version was not detected{shown}"}

    def run_native_script(self, i: dict[str, Any]) -> _Answer:
        """Run another script of the recipe; ``env_tmp`` is the environment as it left it."""
        given = i["run_script_input"]
        env = i["env"] if isinstance(i.get("env"), dict) else dict(given.get("env") or {})
        hook = "detect_version" if i.get("detect_version") else ""
        answer = self._run_native({**given, "script_name": i["script_name"], "env": env}, hook)
        return {**answer, "env_tmp": dict(env)}

    def parse_version(self, i: dict[str, Any]) -> _Answer:
        """Take the version out of the text that a script wrote to ``tmp-ver.out``."""
        file = Path(i.get("file_name") or self.tmp_file_ver)
        if not file.is_file():
            return {"return": NOT_FOUND, "error": f"{file} was not found"}
        text = file.read_text(encoding="utf-8", errors="replace")
        match, group = re.search(i["match_text"], text), i["group_number"]
        if match is None:
            return {"return": 1, "error": f"version was not detected ({text})", "string": text}
        if not match.lastindex or match.lastindex < group:
            error = f"version was not detected: the expression has no group {group}"
            return {"return": 1, "error": error}
        version = match.group(group)
        i["which_env"] |= {i["env_key"]: version, "CM_DETECTED_VERSION": version}
        return {"return": 0, "version": version, "string": text}

    def compare_versions(self, i: dict[str, Any]) -> _Answer:
        """Compare ``version1`` with ``version2``."""
        return {"return": 0, "comparison": compare_versions(i["version1"], i["version2"])}

    def find_file_deep(self, i: dict[str, Any]) -> _Answer:
        """Find the folders at or below ``paths`` that hold ``file_name``."""
        found = folders_with(i["paths"], i["file_name"], i.get("restrict_paths", ()))
        return {"return": 0, "found_paths": found}

    def find_file_back(self, i: dict[str, Any]) -> _Answer:
        """Find the nearest folder at or above ``path`` that holds ``file_name``."""
        return {"return": 0, "found_path": folder_above(i["path"], i["file_name"])}

    def get_default_path_list(self, i: Mapping[str, Any]) -> list[str]:
        """Return the folders in the variable ``default_path_env_key`` of this process."""
        key = i.get("default_path_env_key", "")
        return os.environ.get(key, "").split(os.pathsep) if key else []

    def update_deps(self, i: dict[str, Any]) -> _Answer:
        """Change dependencies that have yet to run, by their names."""
        update_dependencies(i["deps"], i["update_deps"], i.get("env", {}))
        return {"return": 0}

    def clean_some_tmp_files(self, i: dict[str, Any]) -> _Answer:
        """Remove what a script was given and nobody reads afterwards."""
        folder = str(i.get("env", {}).get("CM_TMP_CURRENT_SCRIPT_WORK_PATH", ""))
        for name in ("tmp-run.bat", "tmp-state.json") if folder else ():
            (Path(folder) / name).unlink(missing_ok=True)
        return {"return": 0}

    def _available_variations(self, i: Mapping[str, Any]) -> _Answer:
        meta = i["meta"]
        listed = " ".join(sorted(f"_{name}" for name in meta.get("variations", {})))
        return {
            "return": 1,
            "error": f'a variation is needed in "{meta["alias"]}". Available: {listed}',
        }


def _is_taken(hook: Any, path: str, refused: list[_Answer]) -> bool:
    """Ask the recipe's own function about a file; note an error that it returns."""
    if hook is None:
        return True
    answer = hook({"file": path})
    if answer["return"]:
        refused.append(answer)
    return not answer["return"] and not answer.get("skip", False)


def _not_found(place: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    name = place["file_name"]
    if not found["rejected"]:
        return f"{name} not found"
    wanted = f" of a version {found['limits']}" if found.get("limits") else ""
    return f"{name}{wanted} not found; there are: {', '.join(found['rejected'])}"


def _note_found(i: Mapping[str, Any], env: dict[str, Any], file: str, defaults: list[str]) -> None:
    """Put the folder of a file that is not on the default paths in front of them."""
    folder = os.path.dirname(file)  # noqa: PTH120 - keeps the spelling
    if folder in defaults:
        return
    key = f"+{i.get('default_path_env_key', '')}"
    if folder not in env.get(key, []):
        env[key] = [folder, *env.get(key, [])]
    for relative, extra_key in dict(i.get("extra_paths") or {}).items():
        extra = os.path.normpath(f"{folder}/../{relative}")
        if Path(extra).exists():
            env[extra_key] = [*env.get(extra_key, []), extra]

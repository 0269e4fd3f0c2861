"""A feature of the contract as recipes that both engines run."""

from __future__ import annotations

import hashlib
import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_HOOKS = """\
import os


def log(text):
    with open(os.environ["ORACLE_LOG"], "a") as stream:
        stream.write(text + "\\n")


def preprocess(i):
    log("{alias}: preprocess")
    env, state, result = i["env"], i["state"], {{"return": 0}}
{preprocess}
    return result


def postprocess(i):
    log("{alias}: postprocess")
    env, state, result = i["env"], i["state"], {{"return": 0}}
{postprocess}
    return result
{more}
"""

_RUN = """\
echo "{alias}: run.sh" >> "$ORACLE_LOG"
{run}
"""


@dataclass(frozen=True)
class Traced:
    """A recipe that writes its phases to a log.

    Parameters
    ----------
    preprocess, postprocess, more : str
        Python inside of the hooks, which know ``i``, ``env``, ``state`` and ``result``; and after.
    run : str
        Shell commands in run.sh.
    """

    meta: Mapping[str, Any] = field(default_factory=dict)
    preprocess: str = ""
    postprocess: str = ""
    more: str = ""
    run: str = "true"
    scripts: Mapping[str, str] = field(default_factory=dict)

    def write(self, folder: Path, alias: str) -> None:
        """Write the recipe below `folder`."""
        place = folder / "script" / alias
        place.mkdir(parents=True)
        described = {
            "alias": alias,
            "uid": hashlib.sha256(alias.encode()).hexdigest()[:16],
            "automation_alias": "script",
            "automation_uid": "5b4e0237da074764",
            "tags": [alias],
            **self.meta,
        }
        (place / "_cm.yaml").write_text(yaml.safe_dump(described, sort_keys=False))
        hooks = {
            name: textwrap.indent(textwrap.dedent(text).strip("\n") or "pass", "    ")
            for name, text in (("preprocess", self.preprocess), ("postprocess", self.postprocess))
        }
        more = textwrap.dedent(self.more)
        (place / "customize.py").write_text(_HOOKS.format(alias=alias, more=more, **hooks))
        scripts = {"run": self.run, **self.scripts} if self.run else self.scripts
        for name, text in scripts.items():
            (place / f"{name}.sh").write_text(_RUN.format(alias=alias, run=textwrap.dedent(text)))


@dataclass(frozen=True)
class Feature:
    """Recipes and the calls that show a feature.

    Parameters
    ----------
    differs : Mapping
        Part of the result (status, env, state, phases) -> why this engine differs on purpose.
    differs_at : tuple of int
        The steps at which it differs.
    """

    name: str
    recipes: Mapping[str, Traced]
    steps: tuple[Mapping[str, Any], ...]
    differs: Mapping[str, str] = field(default_factory=dict)
    differs_at: tuple[int, ...] = ()


def ask(tags: str, **more: Any) -> dict[str, Any]:
    """Return one step: a call with tags and flags."""
    return {"tags": tags, **more}

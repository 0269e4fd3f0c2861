"""A recipe that keeps all rules, and how to break exactly one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from recipe_books import CM

GOOD = """\
alias: get-thing
uid: "0123456789abcdef"
automation_alias: script
automation_uid: "5b4e0237da074764"
name: Get a thing
tags: [get, thing]
cache: true
input_description:
  size:
    desc: How large it is
    type: int
    minimum: 1
input_mapping:
  size: OWN_SIZE
default_env:
  OWN_SIZE: "1"
new_env_keys:
  - OWN_THING
variations:
  blue:
    desc: In blue
    env:
      OWN_COLOUR: blue
tests:
  run_inputs:
    - desc: makes one
      size: 2
      expect:
        env:
          OWN_THING: "2"
"""

HOOKS = '''\
"""Says what was made."""

import os


def preprocess(i):
    i["env"]["OWN_THING"] = i["env"]["OWN_SIZE"]
    return {"return": 0, "skip": not os.sep}
'''

CMR = """\
alias: recipes
uid: "00000000000000aa"
recipe_rules:
  strict: true
  env_prefix: OWN_
"""


@dataclass
class Book:
    """A strict repository with recipes, and a cm that knows it."""

    folder: Path
    cm: CM

    def write(self, name: str = "get-thing", text: str = GOOD, hooks: str = HOOKS) -> Path:
        """Write a recipe."""
        folder = self.folder / "script" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "_cm.yaml").write_text(text)
        if hooks:
            (folder / "customize.py").write_text(hooks)
        return folder

    def document(self) -> None:
        """Let cm write all documents."""
        self.cm("doc", "script", "--repo=recipes")

    def lint(self, *words: str) -> tuple[int, list[dict[str, Any]]]:
        """Return the exit code of lint and its findings."""
        done = self.cm("lint", "script", "--repo=recipes", "-j", *words)
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)["findings"]

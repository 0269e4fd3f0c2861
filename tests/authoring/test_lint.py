"""``cm lint script``: each rule is broken by a recipe that breaks no other."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from rule_books import GOOD, HOOKS

if TYPE_CHECKING:
    from recipe_books import CM
    from rule_books import Book


@dataclass(frozen=True)
class Breach:
    """How to break a rule: replace `old` by `new`; `line` begins the line that is named."""

    rule: str
    old: str
    new: str
    line: str
    says: str = ""


BREACHES = (
    Breach("schema", "cache: true", "cache: true\nsort: first", "sort:", "must be of the type"),
    Breach("schema", "    minimum: 1", "    minimum: 1\n    type: integer", "    type: i", ""),
    Breach(
        "unknown-key",
        "cache: true",
        "cache: true\ncatgory: x",
        "catgory:",
        "did you mean category?",
    ),
    Breach(
        "unknown-key", "    desc: In blue", "    desc: In blue\n    grop: x", "    grop:", "group?"
    ),
    Breach(
        "repeated-key",
        "variations:",
        "default_env:\n  OWN_SIZE: '3'\nvariations:",
        "default_env:",
        "in line 15",
    ),
    Breach("uid-quoted", 'uid: "0123456789abcdef"', "uid: a123456789abcdef", "uid:"),
    Breach("named", "name: Get a thing\n", "", "alias:"),
    Breach("named", "alias: get-thing", "alias: get-it", "alias:", "is not the name of the folder"),
    Breach("variation-described", "    desc: In blue\n", "", "  blue:", "_blue"),
    Breach("input-described", "  size: OWN_SIZE", "  size: OWN_SIZE\n  sort: OWN_SORT", "  sort:"),
    Breach("set-twice", "OWN_COLOUR: blue", 'OWN_SIZE: "5"', "      OWN_SIZE:", "--size"),
    Breach("output-exact", "  - OWN_THING", "  - OWN_THING*", "  - OWN_THING*"),
    Breach("env-prefix", "OWN_COLOUR: blue", "COLOUR: blue", "      COLOUR:", "OWN_"),
    Breach("tested", GOOD[GOOD.index("tests:") :], "", "alias:"),
)


def line_of(text: str, start: str) -> int:
    """Return the number of the last line that begins so."""
    return max(n for n, line in enumerate(text.splitlines(), 1) if line.startswith(start))


def test_our_own_recipes_keep_all_rules(cm: CM) -> None:
    done = cm("lint", "script", "--repo=cm4storage")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "recipes, no finding" in done.stdout


def test_the_good_recipe_keeps_all_rules(book: Book) -> None:
    book.write()
    book.document()
    assert book.lint() == (0, [])


@pytest.mark.parametrize("breach", BREACHES, ids=lambda b: f"{b.rule}-{b.line.strip(' :')}")
def test_a_breach_of_one_rule(book: Book, breach: Breach) -> None:
    if breach.new == "    minimum: 1\n    type: integer":  # not twice
        text = GOOD.replace("    type: int\n", "").replace(breach.old, breach.new)
    else:
        text = GOOD.replace(breach.old, breach.new)
    assert text != GOOD
    book.write(text=text)
    book.document()
    status, findings = book.lint()
    assert status == 1
    assert [each["rule"] for each in findings] == [breach.rule]
    assert findings[0]["line"] == line_of(text, breach.line)
    assert breach.says in findings[0]["what"] + findings[0]["advice"]
    assert findings[0]["advice"]


@pytest.mark.parametrize(
    ("rule", "hooks", "line"),
    [
        ("hook-imports", HOOKS.replace("import os", "import cmind"), 3),
        ("hook-imports", HOOKS.replace("import os", "import os\nfrom numpy import array"), 4),
        ("hook-imports", HOOKS.replace("import os", "import os\nfrom . import other"), 4),
        ("hook-syntax", HOOKS.replace("import os", "import os,"), 3),
    ],
)
def test_hooks_that_not_every_engine_can_load(book: Book, rule: str, hooks: str, line: int) -> None:
    folder = book.write(hooks=hooks)
    book.document()
    status, findings = book.lint()
    assert status == 1
    assert [(each["rule"], each["line"], each["file"]) for each in findings] == [
        (rule, line, str(folder / "customize.py"))
    ]


def second(**replaced: str) -> str:
    """Return the metadata of another good recipe."""
    values = {"uid": "1123456789abcdef", "tags": "[get, other]", **replaced}
    text = GOOD.replace("alias: get-thing", "alias: get-other")
    return text.replace("0123456789abcdef", values["uid"]).replace("[get, thing]", values["tags"])


@pytest.mark.parametrize(
    ("rule", "other", "files"),
    [
        ("uid-unique", second(uid="0123456789abcdef"), ["get-other", "get-thing"]),
        ("tags-unique", second(tags="[thing, get]"), ["get-other", "get-thing"]),
        ("tags-reachable", second(tags="[get, thing, other]"), ["get-thing"]),
    ],
)
def test_recipes_that_cannot_be_told_apart(
    book: Book, rule: str, other: str, files: list[str]
) -> None:
    book.write()
    book.write("get-other", other)
    book.document()
    status, findings = book.lint()
    assert status == 1
    assert [each["rule"] for each in findings] == [rule] * len(files)
    assert [each["file"].split("/")[-2] for each in findings] == files


@pytest.mark.parametrize(
    ("rule", "lines", "line", "advice"),
    [
        ("variation-known", "  red:\n    alias: blu\n", "    alias:", "_blue?"),
        ("variation-known", "  red:\n    desc: x\n    base: [bleu]\n", "    base:", "_blue?"),
        ("variation-known", "  blue,gren:\n    const: {}\n", "  blue,gren:", "has: _blue"),
        ("variation-known", "default_variation: bluee\n", "default_variation:", "_blue?"),
        (
            "variation-known",
            "deps:\n  - tags: get,other,_bleu\n    names: [other]\n",
            "  - tags: get,other",
            "_blue?",
        ),
        (
            "dependency-known",
            "deps:\n  - tags: get,other\n    names: [other]\nad:\n  othr:\n    tags: _blue\n",
            "  othr:",
            "did you mean other?",
        ),
    ],
)
def test_what_a_recipe_speaks_of_and_does_not_exist(
    book: Book, rule: str, lines: str, line: str, advice: str
) -> None:
    text = GOOD.replace("tests:", f"{lines}tests:")
    book.write(text=text)
    book.write("get-other", second())
    book.document()
    status, findings = book.lint()
    assert status == 1
    assert [each["rule"] for each in findings] == [rule]
    assert findings[0]["line"] == line_of(text, line)
    assert advice in findings[0]["advice"]


def test_metadata_that_is_no_yaml_is_named_and_the_others_are_checked(book: Book) -> None:
    book.write(text="alias: [")
    book.write("get-other", second().replace("    desc: In blue\n", ""))
    book.document()
    status, findings = book.lint()
    assert status == 1
    assert [each["rule"] for each in findings] == ["variation-described", "readable"]


def test_a_page_that_is_out_of_date(book: Book) -> None:
    folder = book.write()
    book.document()
    (folder / "_cm.yaml").write_text(GOOD.replace("In blue", "In a shade of blue"))
    status, findings = book.lint()
    assert status == 1
    assert [(f["rule"], f["file"]) for f in findings] == [
        ("document-current", str(folder / "README.md")),
        ("document-current", str(folder / "meta.yaml")),
    ]


def test_variables_with_an_engines_prefix_where_no_prefix_is_prescribed(book: Book) -> None:
    cmr = book.folder / "cmr.yaml"
    cmr.write_text(cmr.read_text().replace("  env_prefix: OWN_\n", ""))
    book.write(text=GOOD.replace("OWN_COLOUR", "CM_COLOUR"))
    book.document()
    status, findings = book.lint()
    assert status == 1
    assert [each["rule"] for each in findings] == ["env-prefix"]


def test_a_foreign_repository_is_held_only_to_what_breaks(book: Book) -> None:
    (book.folder / "cmr.yaml").write_text('alias: recipes\nuid: "00000000000000aa"\n')
    bare = 'alias: x\nuid: "0123456789abcdef"\nautomation_alias: script\n'
    bare += 'automation_uid: "5b4e0237da074764"\ntags: [x]\nown_key: 1\nvariations:\n  a: {}\n'
    book.write("other-name", bare)
    assert book.lint() == (0, [])
    status, findings = book.lint("--strict")
    assert status == 1
    assert {"unknown-key", "named", "variation-described", "tested"} <= {
        f["rule"] for f in findings
    }
    book.write("other-name", bare + "tags: [y]\n")
    assert [each["rule"] for each in book.lint()[1]] == ["repeated-key"]


def test_findings_are_lines_that_an_editor_can_follow(book: Book) -> None:
    folder = book.write(text=GOOD.replace("    desc: In blue\n", ""))
    book.document()
    done = book.cm("lint", "script", "--tags=get,thing")
    shown, advice = done.stdout.splitlines()
    assert shown.endswith(
        "get-thing/_cm.yaml:20: variation-described: the variation _blue has no desc"
    )
    assert (book.cm.caller / shown.split(":")[0]).resolve() == folder / "_cm.yaml"
    assert advice.startswith("    add desc")
    assert done.returncode == 1
    assert "error: 1 finding in 1 recipe" in done.stderr


def test_lint_takes_the_repository_of_the_current_folder(book: Book) -> None:
    folder = book.write()
    book.document()
    book.cm.caller = folder
    assert "1 recipe, no finding" in book.cm("lint", "script").stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--repo=recpes"], "did you mean recipes?"),
        (["--tags=no,such"], "no recipe has these tags or this name"),
        (["get-nothing"], "no recipe has these tags or this name"),
    ],
)
def test_a_call_that_names_nothing(book: Book, words: list[str], says: str) -> None:
    book.write()
    done = book.cm("lint", "script", *words)
    assert done.returncode == 1
    assert says in done.stderr


def test_house_rules_with_an_unknown_key(book: Book) -> None:
    book.write()
    (book.folder / "cmr.yaml").write_text(
        'alias: recipes\nuid: "00000000000000aa"\nrecipe_rules:\n  stict: true\n'
    )
    done = book.cm("lint", "script", "--repo=recipes")
    assert done.returncode == 1
    assert "did you mean strict?" in done.stderr


def test_without_the_validating_library_the_command_that_installs_it_is_named(book: Book) -> None:
    book.write()
    (book.folder / "jsonschema.py").write_text('raise ImportError("not installed")\n')
    book.cm.environment["PYTHONPATH"] = str(book.folder)
    done = book.cm("lint", "script", "--repo=recipes")
    assert done.returncode == 1
    assert "-m pip install jsonschema" in done.stderr


def test_a_current_folder_that_has_gone(book: Book) -> None:
    book.write()
    gone = book.cm.caller / "gone"
    command = " ".join(book.cm.command("lint", "script"))
    done = subprocess.run(
        ["bash", "-c", f"mkdir '{gone}'; cd '{gone}'; rmdir '{gone}'; exec {command}"],
        env=book.cm.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "the current folder does not exist any more" in done.stderr

"""``cm doc script``: pages that follow from metadata, and say so when they do not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import yaml
from recipe_books import CHECKOUT
from rule_books import GOOD

if TYPE_CHECKING:
    from recipe_books import CM
    from rule_books import Book


def test_all_documents_of_this_repository_are_current(cm: CM) -> None:
    done = cm("doc", "script", "--repo=cm4storage", "--check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_recipe_of_this_repository_runs_from_a_copy_under_mlcflow() -> None:
    recipes = sorted((CHECKOUT / "script").iterdir())
    assert recipes
    for recipe in recipes:
        assert (recipe / "meta.yaml").read_bytes() == (recipe / "_cm.yaml").read_bytes()
        assert not (recipe / "meta.yaml").is_symlink()


def test_the_repository_has_for_mlcflow_the_name_that_it_has_for_cm() -> None:
    ours = yaml.safe_load((CHECKOUT / "cmr.yaml").read_text(encoding="utf-8"))
    copy = yaml.safe_load((CHECKOUT / "meta.yaml").read_text(encoding="utf-8"))
    assert (copy["alias"], copy["uid"], copy["git"]) == (ours["alias"], ours["uid"], True)


def test_a_page_says_what_the_metadata_says(book: Book) -> None:
    folder = book.write(text=GOOD.replace("    desc: In blue", "    desc: Blue <dark> | light"))
    book.document()
    page = (folder / "README.md").read_text()
    assert "# Get a thing" in page
    assert "cm run script --tags=get,thing\n" in page
    assert "| `--size=INT` | How large it is (at least 1) | `1` | `OWN_SIZE` |" in page
    assert "| `_blue` | Blue &lt;dark> \\| light | `OWN_COLOUR=blue` |" in page
    assert "- `OWN_THING`" in page
    assert "The result is cached." in page
    assert "`mlcr get,thing`" in page
    assert "`cm run recipes:script --tags=get,thing`" in page


def test_a_page_links_what_the_recipe_needs(book: Book) -> None:
    book.write()
    user = GOOD.replace("get-thing", "use-thing").replace("[get, thing]", "[use, it]")
    user = user.replace("0123456789abcdef", "1123456789abcdef")
    user += "post_deps:\n  - tags: get,thing,_blue\n    names: [thing]\n"
    user += '    skip_if_env:\n      OWN_SKIP: ["yes"]\n'
    folder = book.write("use-thing", user)
    book.document()
    row = (
        "| [`get,thing,_blue`](../get-thing/README.md) | last, unless `OWN_SKIP` is set | `thing` |"
    )
    assert row in (folder / "README.md").read_text()


def test_check_names_what_is_out_of_date_and_writes_nothing(book: Book) -> None:
    folder = book.write()
    done = book.cm("doc", "script", "--repo=recipes", "--check")
    assert done.returncode == 1
    assert "out of date: " in done.stdout
    assert not (folder / "README.md").exists()
    assert book.cm("doc", "script", "--repo=recipes").returncode == 0
    assert book.cm("doc", "script", "--repo=recipes", "--check").returncode == 0
    (folder / "meta.yaml").write_text("alias: other\n")
    done = book.cm("doc", "script", "--repo=recipes", "--check", "-j")
    assert done.returncode == 1
    assert json.loads(done.stdout)["out_of_date"] == [str(folder / "meta.yaml")]
    assert (folder / "meta.yaml").read_text() == "alias: other\n"


def test_a_page_that_was_written_by_hand_is_left_as_it_is(book: Book) -> None:
    folder = book.write()
    (folder / "README.md").write_text("# My own words\n")
    done = book.cm("doc", "script", "--tags=get,thing")
    assert done.returncode == 1
    assert "written by hand" in done.stdout
    assert "move what was written by hand into desc" in done.stderr
    assert (folder / "README.md").read_text() == "# My own words\n"
    assert (folder / "meta.yaml").read_text() == GOOD


def test_the_index_lists_the_recipes_where_there_are_documents(book: Book) -> None:
    book.write()
    book.document()
    assert not (book.folder / "docs").exists()
    (book.folder / "docs").mkdir()
    book.document()
    index = (book.folder / "docs" / "recipes" / "index.md").read_text()
    assert "| [get-thing](../../script/get-thing/README.md) | Get a thing | `get,thing` |" in index


def test_documents_are_no_part_of_a_cache_key(book: Book) -> None:
    folder = book.write(hooks="")
    (folder / "run.sh").write_text("echo OWN_THING=made > tmp-run-env.out\n")
    assert "miss" in book.cm("run", "script", "--tags=get,thing").stdout
    book.document()
    assert (folder / "meta.yaml").exists()
    assert "hit" in book.cm("run", "script", "--tags=get,thing").stdout
    (folder / "templates").mkdir()
    (folder / "templates" / "meta.yaml").write_text("a file that the recipe may use\n")
    assert "code changed" in book.cm("run", "script", "--tags=get,thing").stdout

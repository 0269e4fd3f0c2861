"""``report.html`` of a run of checkpoints: what is on it, and that it is well formed and safe."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

import pytest
from made_checkpoints import made_checkpoints
from made_records import HOST
from markup import headings, parse

from cm4storage.report.html.checkpoint_page import checkpoint_page, write_checkpoint_page
from cm4storage.results.checkpoint_records import load
from cm4storage.results.checkpoint_report import build_report
from cm4storage.results.checkpoint_run_figures import of_checkpoint_run

COMMAND = "cm run script --tags=run,dlio,checkpoint"
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{7*7}}\x00\x1b"


def page_of(record, command=COMMAND):
    return checkpoint_page(of_checkpoint_run(record), command)


def tree_of(**changes):
    return parse(page_of(made_checkpoints(2, 2, 2, scale="quick", **changes)))


@pytest.fixture(scope="module")
def record():
    """Return the record of a whole run by the rules."""
    return made_checkpoints()


@pytest.fixture(scope="module")
def text(record):
    return page_of(record)


@pytest.fixture(scope="module")
def tree(text):
    return parse(text)


def rows_of(table):
    [body] = table.all("tbody")
    return [
        [cell.text().replace("\xa0", " ") for cell in row.walk() if cell.tag in ("th", "td")]
        for row in body.all("tr")
    ]


def table_of(tree, title):
    [table] = [each for each in tree.all("table") if each.all("thead") and title in each.text()]
    return table


def claims_of(tree):
    sections = [each for each in tree.all("section") if "class" in each.attributes]
    [section] = [each for each in sections if each.attributes["class"].startswith("verdict ")]
    names = [each.text().replace("\xa0", " ") for each in section.all("dt")]
    return section.attributes["class"], names


def test_page_is_well_formed_whole_and_fetches_nothing(tree, text):
    assert text.startswith("<!DOCTYPE html>")
    ids = [each.attributes["id"] for each in tree.walk() if "id" in each.attributes]
    assert len(ids) == len(set(ids))
    wanted = [link.attributes["href"][1:] for link in tree.all("a")]
    wanted += [each.attributes["aria-labelledby"] for each in tree.walk()
               if "aria-labelledby" in each.attributes]  # fmt: skip
    assert set(wanted) <= set(ids)
    assert {link.attributes["href"] for link in tree.all("link")} == {"data:,"}
    assert re.search(r"https?://|url\(|@import", text) is None
    levels = [int(each.tag[1]) for each in headings(tree)]
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_parts_come_with_the_verdict_first(tree):
    assert [each.text() for each in headings(tree) if each.tag == "h2"] == [
        "The figures are those of the storage", "Conditions of a valid result", "Over time",
        "Checkpoints", "Ranks", "Sizes", "Configuration", "Environment", "Warnings and notes",
        "How to reproduce",
    ]  # fmt: skip


def test_figures_are_those_of_the_rules(tree, record):
    report = build_report(of_checkpoint_run(record))
    [write, read] = [each.text() for each in tree.all("p", class_="big")]
    assert float(write) == pytest.approx(
        report["save_throughput_min_over_ranks_mean_gib_per_s"], abs=0.01
    )
    assert float(read) == pytest.approx(
        report["load_throughput_min_over_ranks_mean_gib_per_s"], abs=0.01
    )
    said = tree.text().replace("\xa0", " ")
    assert f"{report['save_duration_max_over_ranks_mean_s']:.1f} s" in said
    assert "104.7 GiB" in said


def test_valid_and_comparable_result_says_so(tree):
    look, names = claims_of(tree)
    assert look == "verdict reached"
    assert names == ["Valid", "Comparable", "Synced", "Not cached"]


@pytest.mark.parametrize(
    ("changes", "state", "words"),
    [
        ({"storage": {"fsync": False}}, "missed", ["Not synced", "in memory only"]),
        ({"page_cache": {"state": "resident", "resident_before_reading": 0.4}}, "missed",
         ["Cached", "it had 40 % of the files"]),
        ({"storage": {"backend": "s3"}, "page_cache": {
            "state": "out of reach", "resident_before_reading": None}}, "unknown",
         ["Stored", "what a service keeps in memory is out of reach"]),
        ({"storage": {"backend": "directio", "fsync": False}}, "missed", ["the device's cache"]),
        ({"storage": {"retries": 2}}, "reached", ["2 requests to the storage had to be sent"]),
    ],
)  # fmt: skip
def test_memory_in_the_figures_is_named(changes, state, words):
    tree = tree_of(**changes)
    assert claims_of(tree)[0] == f"verdict {state}"
    said = tree.text().replace("\xa0", " ")
    assert [word for word in words if word not in said] == []


def test_missed_conditions_and_what_is_not_comparable_are_named():
    tree = tree_of()
    missed = [cell.text() for cell in tree.all("th", class_="bad")]
    assert missed == [f"not met: {each}" for each in
                      ("checkpoints written", "checkpoints read", "ranks", "scale")]  # fmt: skip
    assert "with results of the published workload: quick scale" in tree.text()
    assert {"Not valid", "Not comparable"} <= set(claims_of(tree)[1])


def test_each_rank_has_a_lane_with_a_value_for_each_checkpoint(tree, record):
    spots = tree.of_id("ranks").all("rect")
    assert len(spots) == len(record.operations) == 160
    assert {each.attributes["y"] for each in spots} == {f"{12.5 * rank}%" for rank in range(8)}
    slow = max(record.operations, key=lambda each: each.duration_s)
    [said] = [
        each.text() for each in spots
        if each.text().startswith(f"rank {slow.rank}, checkpoint {slow.number} written")
    ]  # fmt: skip
    assert f"{slow.duration_s:.1f}\xa0s" in said


def test_neighbours_share_a_lane_where_there_are_many():
    record = made_checkpoints(1024, 2, 2, model="llama3_1t")
    text = page_of(record)
    tree = parse(text)
    spots = [each.text() for each in tree.of_id("ranks").all("title")]
    assert len(spots) == 16 * 4
    assert spots[0].startswith("ranks 0 to 63, checkpoint 1 written")
    assert len(rows_of(table_of(tree, "To the mean"))) == 400
    assert "The first 400 of 1,024" in tree.text()
    assert len(text.encode()) < 1_000_000


def test_tables_have_all_checkpoints_and_ranks(tree, record):
    table = table_of(tree, "Digest")
    rows = rows_of(table)
    assert [(row[0], row[1]) for row in rows] == [
        (str(number), verb) for verb in ("written", "read") for number in range(1, 11)
    ]
    figures = of_checkpoint_run(record)
    assert [row[-1] for row in rows[:10]] == [each.content_digest[:12] for each in figures.saves]
    assert {row[-1] for row in rows[10:]} == {"\N{EN DASH}"}
    for shown in tree.all("table"):
        assert {len(row) for row in rows_of(shown)} == {len(shown.all("thead")[0].all("th"))}
    assert len(rows_of(table_of(tree, "To the mean"))) == 8


def test_run_that_only_read_says_so_and_names_whose_files():
    record = made_checkpoints(2, 0, 1, scale="quick")
    shifted = [replace(each, source_rank=1 - each.rank) for each in record.operations]
    tree = parse(page_of(replace(record, operations=shifted)))
    assert len(tree.all("p", class_="big")) == 1
    table = table_of(tree, "To the mean")
    assert [(row[0], row[-1]) for row in rows_of(table)] == [("0", "1"), ("1", "0")]
    said = tree.text()
    assert "written by another run" in said
    assert "One checkpoint only was read" in said
    assert "Synced" not in claims_of(tree)[1]


def test_straggler_is_named():
    record = made_checkpoints(2, 2, 0, scale="quick")
    slow = [
        replace(each, duration_s=9.0) if (each.rank, each.number) == (1, 2) else each
        for each in record.operations
    ]
    said = parse(page_of(replace(record, operations=slow))).text()
    assert "Checkpoint 2 was written" in said
    assert "times as long by the slowest rank" in said


def test_what_users_name_stays_text():
    tree = tree_of(
        storage={"uri": HOSTILE, "backend": HOSTILE}, page_cache={"state": "dropped"},
        environment={"host": HOST | {"hostname": HOSTILE}, "command": HOSTILE},
    )  # fmt: skip
    assert len(tree.all("script")) == 1
    assert tree.all("img") == []
    assert [e for e in tree.walk() if any(a.startswith("on") for a in e.attributes)] == []
    shown = HOSTILE.replace("\x00", "\ufffd").replace("\x1b", "\ufffd")
    assert tree.all("pre")[1].text() == shown


def test_same_record_gives_the_same_bytes_and_a_small_file(tmp_path, record, text):
    record.save(tmp_path)
    assert page_of(load(tmp_path)) == text == page_of(made_checkpoints())
    path = write_checkpoint_page(of_checkpoint_run(record), tmp_path, COMMAND)
    assert path.read_text(encoding="utf-8") == text
    assert len(text.encode()) < 300_000


def test_record_of_a_former_release_has_no_digests_and_a_page(record):
    operations = [replace(each, content_digest="") for each in record.operations]
    tree = parse(page_of(replace(record, operations=operations)))
    assert {row[-1] for row in rows_of(table_of(tree, "Digest"))} == {"\N{EN DASH}"}


def test_the_report_hides_the_secrets_of_urls(record):
    uri = "https://me:very-secret@storage.example/x?sig=abc"
    report = build_report(of_checkpoint_run(replace(record, storage=record.storage | {"uri": uri})))
    assert report["storage"]["uri"] == "https://***@storage.example/x?sig=***"

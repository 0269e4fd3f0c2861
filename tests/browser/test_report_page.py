"""``report.html`` in a real Chromium: seen, read, tabbed through and printed."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.browser

LOOKS = (Path(__file__).parent / "looks.js").read_text(encoding="utf-8")
PAGES = ("usual", "missed", "short", "hostile")
SCHEMES = ("light", "dark")
WIDTHS = {"desktop": 1280, "phone": 360}


def looks(page, name):
    """Return the complaints of a function of looks.js."""
    # The page's own policy lets no script in; the browser's developer tools are above it.
    return page.evaluate(f"() => {{ {LOOKS}; return window.looks.{name}(); }}")


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Return the folder for pictures; a person looks at them there."""
    named = os.environ.get("CM4STORAGE_PICTURES")
    folder = Path(named) if named else tmp_path_factory.mktemp("pictures")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.mark.parametrize("name", PAGES)
def test_page_complains_of_nothing_and_asks_for_nothing(opened, pages, name):
    with opened(name) as page:
        page.wait_for_load_state("networkidle")
        assert page.seen.complaints == []
        assert set(page.seen.requests) - {"data:,"} == {pages[name]}
        assert page.evaluate("window.hurt") is None


@pytest.mark.parametrize("width", [320, 360, 400, 700, 1280])
@pytest.mark.parametrize("name", PAGES)
def test_page_fits_its_width(opened, name, width):
    with opened(name, width) as page:
        assert looks(page, "outside") == []
        assert looks(page, "overlaps") == []
        page.locator("summary").click()
        assert looks(page, "outside") == []


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", PAGES)
def test_contrast(opened, name, scheme):
    with opened(name, scheme=scheme) as page:
        page.locator("summary").click()
        assert looks(page, "countTexts") > 300
        assert looks(page, "weakTexts") == []
        assert looks(page, "weakShapes") == []


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_targets_are_large_enough(opened, width):
    with opened(width=width) as page:
        assert looks(page, "smallTargets") == []


def test_first_tab_leads_past_the_head(opened):
    with opened() as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the verdict"
        box = page.locator(".skip").bounding_box()
        assert box["x"] >= 0
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"


def test_every_target_is_reached_by_tab_and_shows_it(opened):
    with opened() as page:
        wanted = page.locator("button:visible, a:visible, summary, .canvas, pre, .scroll").count()
        reached, outlined = set(), set()
        for _ in range(wanted + 5):
            page.keyboard.press("Tab")
            state = page.evaluate(
                "() => { const e = document.activeElement; return ["
                "[...document.querySelectorAll('*')].indexOf(e),"
                " getComputedStyle(e).outlineStyle, e.tagName]; }"
            )
            if state[2] not in ("BODY", "HTML"):
                reached.add(state[0])
                outlined.add(state[1])
        assert len(reached) >= wanted - 1  # the table of what differs has nothing to sort
        assert "none" not in outlined


def test_tables_are_sorted_by_keyboard(opened):
    with opened() as page:
        table = page.locator("table", has=page.get_by_text("Epochs", exact=True))
        heads = table.locator("thead th")
        head = heads.filter(has_text="Longest wait")
        assert head.get_attribute("aria-sort") == "none"
        values = table.locator("tbody tr td:nth-child(11)")
        for pressed, order in (("Enter", "ascending"), ("Space", "descending")):
            head.locator("button").focus()
            page.keyboard.press(pressed)
            assert head.get_attribute("aria-sort") == order
            shown = [float(cell.get_attribute("data-v")) for cell in values.all()]
            assert shown == sorted(shown, reverse=order == "descending")
        sorted_heads = [each.get_attribute("aria-sort") for each in heads.all()]
        assert sorted_heads.count("none") == len(sorted_heads) - 1


def test_text_columns_are_sorted_as_text(opened):
    with opened() as page:
        page.locator("summary").click()
        table = page.locator("table.whole")
        table.locator("thead button").first.click()
        keys = table.locator("tbody th").all_text_contents()
        assert [key.partition(".")[0] for key in keys] == sorted(
            key.partition(".")[0] for key in keys
        )


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_plot_shows_values_at_the_arrow_keys(opened, width):
    with opened(width=width) as page:
        tip = page.locator("#tip")
        assert tip.is_hidden()
        page.locator("#throughput .canvas").focus()
        for key, text in (("Home", "epoch 1, step"), ("End", "epoch 3, step")):
            page.keyboard.press(key)
            assert tip.text_content().startswith(text)
            box = tip.bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
        page.keyboard.press("ArrowLeft")
        assert "samples/s" in tip.text_content()
        page.keyboard.press("Escape")
        assert tip.is_hidden()


@pytest.mark.parametrize("plot", ["throughput", "shares", "durations", "latency-wait"])
def test_plot_shows_values_at_the_pointer(opened, plot):
    with opened() as page:
        field = page.locator(f"#{plot} svg.field")
        field.scroll_into_view_if_needed()
        field.hover()
        text = page.locator("#tip").text_content()
        assert re.search(r"\d", text)
        page.mouse.move(1, 1)
        assert page.locator("#tip").is_hidden()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_page_of_checkpoints_shows_each_rank_and_complains_of_nothing(
    opened, pages, pictures, scheme
):
    for width in (320, *WIDTHS.values()):
        with opened("checkpoints", width, scheme) as page:
            assert (looks(page, "outside"), looks(page, "overlaps")) == ([], [])
            assert looks(page, "smallTargets") == []
            page.screenshot(path=pictures / f"checkpoints-{width}-{scheme}.png", full_page=True)
    with opened("checkpoints", scheme=scheme) as page:
        assert (looks(page, "weakTexts"), looks(page, "weakShapes")) == ([], [])
        assert page.seen.complaints == []
        assert set(page.seen.requests) - {"data:,"} == {pages["checkpoints"]}
        tip, field = page.locator("#tip"), page.locator("#ranks svg.field")
        field.scroll_into_view_if_needed()
        box = field.bounding_box()
        for rank in (0, 3, 7):
            field.hover(position={"x": 3, "y": box["height"] * (rank + 0.5) / 8})
            assert tip.text_content().startswith(f"rank {rank}, checkpoint 1 written")
        page.locator("#ranks .canvas").focus()
        page.keyboard.press("End")
        assert tip.text_content().startswith("rank 7, checkpoint 10 read")


def test_page_is_complete_without_scripts(opened):
    with opened(java_script_enabled=False) as page:
        assert page.locator("thead button").count() == 0
        assert page.locator("figure svg.field").count() >= 7
        assert page.locator("#throughput title").count() > 100
        assert "./bootstrap cm run script" in page.locator("pre").first.text_content()


def test_paper_has_all_and_nothing_to_click(opened, pictures):
    with opened(scheme="dark") as page:
        content = page.pdf(path=pictures / "print.pdf", format="A4")
        sheets = len(re.findall(rb"/Type\s*/Page\b", content))
        assert 3 <= sheets <= 10
        page.emulate_media(media="print")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == (
            "rgb(255, 255, 255)"
        )
        for hidden in ("nav", ".copy", ".skip"):
            assert page.locator(hidden).first.is_hidden()
        page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        assert page.locator("table.whole tbody tr").last.is_visible()
        page.evaluate("window.dispatchEvent(new Event('afterprint'))")
        assert page.locator("details").get_attribute("open") is None
        assert looks(page, "weakTexts") == []


@pytest.mark.parametrize("device", WIDTHS)
def test_pictures_of_both_schemes_differ(opened, pictures, device):
    shots = {}
    for scheme in SCHEMES:
        for name in ("usual", "missed"):
            with opened(name, WIDTHS[device], scheme) as page:
                path = pictures / f"{name}-{device}-{scheme}.png"
                shots[name, scheme] = page.screenshot(path=path, full_page=True)
    assert len(set(shots.values())) == len(shots)
    assert all(len(shot) > 50_000 for shot in shots.values())

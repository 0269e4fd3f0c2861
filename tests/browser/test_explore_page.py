"""``explore.html`` in a real Chromium: searched, plotted, compared and tabbed through."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from cm4storage.report.explore.page import page as page_text
from cm4storage.results.collecting.model import (
    CollectedReport,
    CollectedRun,
    Collection,
    Figure,
    Recomputation,
)

pytestmark = pytest.mark.browser

LOOKS = (Path(__file__).parent / "looks.js").read_text(encoding="utf-8")
HOSTILE = "</script><script>window.hurt = 1</script><img src=x onerror='window.hurt = 1'>"
THREADS = (1, 2, 4, 8, 16, 32)
PAGES = ("sweep", "single", "hostile")
CONTROLS = (
    "button:visible, a:visible, summary:visible, select:visible, input:visible:enabled,"
    " #canvas, .scroll:visible"
)
NAME_OF = (
    "e => e.tagName + ' ' + [...document.querySelectorAll('*')].indexOf(e) + ' '"
    " + (e.id || e.textContent.trim().slice(0, 20))"
)
SCHEMES = ("light", "dark")


def made_run(name, threads, system, **others):
    """Return a run of a sweep whose knee is at 8 threads."""
    rate = 100.0 * min(threads, 8) * (2 if system == "fast" else 1) + threads / 8
    facts = {
        "source": "DLIO", "kind": "training", "state": "complete",
        "identity": {"system": system, "workload": "unet3d_h100"},
        "parameters": {"reader.read_threads": threads, "dataset.format": "npz"},
        "metrics": {"samples_per_s": rate, "au_mean_percent": 90.0, "wait_p99_ms": 5.0 / threads},
        "recomputation": Recomputation((Figure("train_au_mean_percentage", 1.0, 1.0),)),
    }  # fmt: skip
    return CollectedRun(name=name, folder=Path("nowhere"), **facts | others)


def sweep(repeats):
    return [
        made_run(f"{system}/t{threads}/run{repeat}", threads, system)
        for system in ("slow", "fast") for threads in THREADS for repeat in range(repeats)
    ]  # fmt: skip


def collections():
    differing = Recomputation((Figure("train_au_mean_percentage", 1.0, 2.0),), ("no ranks",))
    bad = CollectedRun(HOSTILE, Path("nowhere"), "DLIO", "unknown", "unreadable", (HOSTILE,))
    odd = made_run(HOSTILE + "2", 4, HOSTILE, recomputation=differing)
    return {
        "sweep": Collection(tuple(sweep(3))),
        "single": Collection((made_run("one", 1, "slow"),)),
        "hostile": Collection(
            (bad, odd, *sweep(1)), (CollectedReport(HOSTILE, differing),), (HOSTILE,)
        ),
        "many": Collection(tuple(sweep(167))),
    }


@pytest.fixture(scope="module")
def addresses(tmp_path_factory):
    """Return where the pages are, by name."""
    folder = tmp_path_factory.mktemp("explored")
    for name, collection in collections().items():
        text = page_text(collection, ["results"], [None] * len(collection.runs))
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {path.stem: path.as_uri() for path in folder.glob("*.html")}


@pytest.fixture
def explored(browser, addresses):
    """Return a context manager that opens a page; what it complains of is kept."""

    @contextmanager
    def opening(name="sweep", width=1280, scheme="light", fragment="", **options):
        size = {"width": width, "height": 800}
        context = browser.new_context(viewport=size, color_scheme=scheme, offline=True, **options)
        page = context.new_page()
        page.seen = SimpleNamespace(complaints=[], requests=[])
        page.on("console", lambda message: page.seen.complaints.append(message.text))
        page.on("pageerror", lambda error: page.seen.complaints.append(str(error)))
        page.on("request", lambda request: page.seen.requests.append(request.url))
        page.goto(addresses[name] + fragment)
        yield page
        context.close()

    return opening


def looks(page, name):
    """Return the complaints of a function of looks.js."""
    return page.evaluate(f"() => {{ {LOOKS}; return window.looks.{name}(); }}")


def open_all(page):
    for summary in page.locator("summary:visible").all():
        summary.click()


@pytest.mark.parametrize("name", [*PAGES, "many"])
def test_page_complains_of_nothing_and_asks_for_nothing(explored, addresses, name):
    with explored(name) as page:
        page.wait_for_load_state("networkidle")
        assert page.seen.complaints == []
        assert set(page.seen.requests) - {"data:,"} == {addresses[name]}
        assert page.evaluate("window.hurt") is None


@pytest.mark.parametrize("width", [320, 360, 700, 1280])
@pytest.mark.parametrize("name", PAGES)
def test_page_fits_its_width(explored, name, width):
    with explored(name, width) as page:
        assert looks(page, "overlaps") == []
        wide = page.locator("#table thead th").evaluate_all(
            "all => all.filter((head) => head.firstChild.getBoundingClientRect().right"
            " > head.getBoundingClientRect().right + 1).map((head) => head.textContent)"
        )
        assert wide == []
        page.locator("#table input").first.check()
        open_all(page)
        assert looks(page, "outside") == []


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", PAGES)
def test_contrast_and_size_of_targets(explored, name, scheme):
    with explored(name, scheme=scheme) as page:
        page.locator("#table input").first.check()
        open_all(page)
        assert looks(page, "weakTexts") == []
        assert looks(page, "weakShapes") == []
        assert looks(page, "smallTargets") == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_colours_of_groups_stand_out_from_the_page(explored, scheme):
    with explored(scheme=scheme) as page:
        names = ", ".join(f"'--c{place}'" for place in range(9))
        found = page.evaluate(
            "() => { const style = getComputedStyle(document.documentElement);"
            f" return [...[{names}], '--page'].map((name) => style.getPropertyValue(name)); }}"
        )
        *colours, ground = [luminance(each.strip()) for each in found]
        for colour in colours:
            low, high = sorted((colour, ground))
            assert (high + 0.05) / (low + 0.05) >= 3


def luminance(colour):
    """Return the relative luminance of ``#rrggbb``; WCAG 2.2."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_knee_of_a_sweep_is_found(explored):
    with explored() as page:
        knees = page.locator("#knees li").all_text_contents()
        assert [text.partition(":")[0] for text in knees] == ["fast", "slow"]
        assert all("reader.read_threads = 8 is the least" in text for text in knees)
        assert page.locator("#canvas .mark").count() == 36
        page.locator("#plot-y").select_option("wait_p99_ms")
        assert "best mean is at reader.read_threads = 32" in page.locator("#knees").text_content()
        page.locator("#plot-group").select_option("")
        assert page.locator("#knees li").count() == 1


def test_search_narrows_table_and_plot(explored):
    with explored() as page:
        page.locator("#query").fill("fast read_threads>=8")
        page.get_by_text("9 of 36 runs").wait_for()
        assert page.locator("#table tbody tr").count() == 9
        assert page.locator("#canvas .mark").count() == 9
        page.locator("#query").fill("nothing=1")
        page.get_by_text("no single column is called nothing").wait_for()
        page.locator("#reset").click()
        assert page.locator("#table tbody tr").count() == 36
        page.get_by_text("Filter by value").click()
        page.locator("#facets [data-key='reader.read_threads']").select_option(label="4")
        assert page.locator("#table tbody tr").count() == 6


def test_table_is_sorted_by_keyboard(explored):
    with explored() as page:
        head = page.locator("#table th", has_text="Throughput")
        column = [each.strip() for each in page.locator("#table th").all_text_contents()]
        place = column.index("Throughput, samples/s") + 1
        for order in ("ascending", "descending"):
            head.locator("button").focus()
            page.keyboard.press("Enter")
            assert head.get_attribute("aria-sort") == order
            cells = page.locator(f"#table tbody tr > :nth-child({place})").all_text_contents()
            values = [float(cell.replace(",", "")) for cell in cells]
            assert values == sorted(values, reverse=order == "descending")


def test_chosen_runs_stand_side_by_side(explored):
    with explored() as page:
        boxes = page.locator("#table input")
        boxes.nth(0).check()
        boxes.nth(35).focus()
        page.keyboard.press("Space")
        rows = page.locator("#side tbody").inner_text()
        assert "reader.read_threads" in rows
        assert "dataset.format" not in rows
        assert "+1,600.0 %" in rows or "%" in rows
        page.get_by_label("only what differs").uncheck()
        assert "Recomputed" in page.locator("#side tbody").inner_text()
        page.locator("#side thead button").first.click()
        assert boxes.nth(0).is_checked() is False
        page.locator("#clear").click()
        assert page.locator("#compare-none").is_visible()


@pytest.mark.parametrize("width", [360, 1280])
def test_plot_by_keyboard(explored, width):
    with explored(width=width) as page:
        tip = page.locator("#tip")
        page.locator("#canvas").focus()
        for key, threads in (("Home", 1), ("End", 32)):
            page.keyboard.press(key)
            assert f"reader.read_threads: {threads}\n" in tip.text_content()
            box = tip.bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
            assert box["width"] > 100
        page.keyboard.press("Enter")
        assert page.locator("#side thead th").count() == 2
        page.keyboard.press("Escape")
        assert tip.is_hidden()


def test_plot_at_the_pointer(explored):
    with explored() as page:
        mark = page.locator("#canvas .mark").first
        mark.scroll_into_view_if_needed()
        box = mark.bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        assert "Throughput, samples/s:" in page.locator("#tip").text_content()
        page.mouse.move(1, 1)
        assert page.locator("#tip").is_hidden()


@pytest.mark.parametrize("name", ["plot-log-x", "plot-log-y", "plot-zero", "plot-lines"])
def test_every_way_to_draw_keeps_all_points_inside(explored, name):
    with explored() as page:
        page.locator(f"#{name}").click()
        for y in ("samples_per_s", "wait_p99_ms", "au_mean_percent"):
            page.locator("#plot-y").select_option(y)
            for x in ("reader.read_threads", "system", "run", "samples_per_s"):
                page.locator("#plot-x").select_option(x)
                places = page.locator("#canvas .mark").evaluate_all(
                    "all => all.flatMap(e => ['x', 'y'].map(n => parseFloat(e.getAttribute(n))))"
                )
                assert len(places) == 72
                assert all(0 <= place <= 100 for place in places)
        assert page.seen.complaints == []


def test_address_keeps_plot_and_search(explored):
    with explored() as page:
        page.locator("#plot-y").select_option("wait_p99_ms")
        page.locator("#query").fill("slow")
        page.get_by_text("18 of 36 runs").wait_for()
        fragment = page.evaluate("location.hash")
    with explored(fragment=fragment) as page:
        assert page.locator("#plot-y").input_value() == "wait_p99_ms"
        assert page.locator("#count").text_content() == "18 of 36 runs"
    with explored(fragment="#y=%3Cscript%3E&x=nothing&find=zero%3E") as page:
        assert page.locator("#plot-y").input_value() == "samples_per_s"
        assert page.seen.complaints == []


def test_two_thousand_runs(explored):
    with explored("many") as page:
        assert page.locator("#count").text_content() == "2,004 of 2,004 runs"
        assert page.locator("#table tbody tr").count() == 100
        page.locator("#more").click()
        assert page.locator("#table tbody tr").count() == 2004
        assert page.locator("#canvas .mark").count() == 2004


def test_page_has_its_table_without_scripts(explored):
    with explored("hostile", java_script_enabled=False) as page:
        assert page.locator("noscript tbody tr").count() == 14
        assert page.locator("select:visible, input:visible, button:visible").count() == 0
        assert page.locator("noscript p").is_visible()
        assert page.locator("noscript table").is_visible()
    with explored("hostile", width=360, java_script_enabled=False) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_every_control_is_reached_by_tab_and_shows_it(explored):
    with explored("single") as page:
        open_all(page)
        wanted = page.locator(CONTROLS).evaluate_all(f"all => all.map({NAME_OF})")
        reached, outlined = set(), set()
        for _ in range(len(wanted) + 8):
            page.keyboard.press("Tab")
            name, outline = page.evaluate(
                "() => { const e = document.activeElement;"
                f" return [({NAME_OF})(e), getComputedStyle(e).outlineStyle]; }}"
            )
            reached.add(name)
            if not name.startswith(("BODY", "HTML")):
                outlined.add(outline)
        assert set(wanted) - reached == set()
        assert "none" not in outlined


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", [360, 1280])
def test_pictures(explored, tmp_path, width, scheme):
    folder = Path(os.environ.get("CM4STORAGE_PICTURES") or tmp_path)
    with explored("sweep", width, scheme) as page:
        for place in (0, 20):
            page.locator("#table input").nth(place).check()
        shot = page.screenshot(path=folder / f"explore-{width}-{scheme}.png", full_page=True)
        assert len(shot) > 50_000

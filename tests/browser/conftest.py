"""A real Chromium without a network, and pages of runs to open in it."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from made_checkpoints import made_checkpoints
from made_records import HOST, made_record

from cm4storage.report.html.checkpoint_page import write_checkpoint_page
from cm4storage.report.html.page import write_page
from cm4storage.results.checkpoint_run_figures import of_checkpoint_run
from cm4storage.results.figures import of_run
from cm4storage.results.records import CheckpointRecord

if TYPE_CHECKING:
    from pathlib import Path

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
HOSTILE = "<script>window.hurt = 1</script><img src=x onerror='window.hurt = 1'>" + "long/" * 60


@pytest.fixture(scope="session")
def chromium():
    """Return the path of the Chromium to use; skip where there is none."""
    pytest.importorskip("playwright", reason="needs playwright: nox -s browser")
    named = os.environ.get("CM4STORAGE_CHROMIUM")
    found = named or next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if found is None:
        pytest.skip("there is no Chromium here; on Debian: apt-get install chromium")
    return found


@pytest.fixture(scope="session")
def browser(chromium):
    """Return the running browser."""
    from playwright.sync_api import sync_playwright

    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=chromium, args=options)
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def pages(tmp_path_factory):
    """Return the addresses of pages by name."""
    written = {
        name: _write(record, tmp_path_factory.mktemp(name)) for name, record in _records().items()
    }
    figures = of_checkpoint_run(made_checkpoints(page_cache={"state": "resident"}))
    folder = tmp_path_factory.mktemp("checkpoints")
    return written | {"checkpoints": write_checkpoint_page(figures, folder, "again").as_uri()}


def _records():
    usual = made_record(3, 500, wait_s=0.02, params="reader.read_threads=9", retries=2)
    cold = [replace(each, resident_before=0.0, resident_after=0.4) for each in usual.epochs]
    hostile = {
        "faults": [HOSTILE],
        "data_set": {"uri": HOSTILE, "backend": "s3", "manifest": None},
        "environment": {"host": HOST | {"hostname": HOSTILE}, "command": HOSTILE},
    }
    return {
        "usual": replace(usual, epochs=cold),
        "missed": _with_checkpoints(made_record(6, 40, wait_s=0.4, scale="quick")),
        "short": made_record(1, 1),
        "hostile": made_record(2, 5, **hostile),
    }


def _with_checkpoints(record):
    """Return the record with a checkpoint after each epoch, the third of which failed."""
    sizes = 3 * 2**30, 2 * 2**30
    checkpoints = [
        CheckpointRecord(
            40 * each.number, each.number, each.start, each.end, 2.5, 8.0 + each.number, *sizes,
            f"run/step_{40 * each.number:08}.ckpt", "connection reset" if each.number == 3 else "",
        )
        for each in record.epochs
    ]  # fmt: skip
    return replace(record, checkpoints=checkpoints)


def _write(record, folder: Path):
    return write_page(of_run(record), folder, "./bootstrap cm run script --tags=run,dlio").as_uri()


@pytest.fixture
def opened(browser, pages):
    """Return a context manager that opens a page; what it complains of and asks for is kept."""

    @contextmanager
    def opening(name="usual", width=1280, scheme="light", **options):
        context = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True, **options
        )
        page = context.new_page()
        seen = SimpleNamespace(complaints=[], requests=[])
        page.on("console", lambda message: seen.complaints.append(message.text))
        page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        page.on("dialog", lambda dialog: seen.complaints.append(dialog.message))
        page.on("request", lambda request: seen.requests.append(request.url))
        page.goto(pages[name])
        page.seen = seen
        yield page
        context.close()

    return opening

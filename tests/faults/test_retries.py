"""Requests that were sent again are counted, and told where a user looks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from jobs import SMALL, made, workload_of
from proxy import Fault, FaultyProxy, first

from cm4storage.core.errors import StorageFault
from cm4storage.dataset.identity import Identity
from cm4storage.storage.limited_reads import LimitedReads
from cm4storage.storage.opening import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from cm4storage.storage.location import StoreLocation


def command(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "cm4storage", *words],
        cwd=folder, env=os.environ, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("count", "said"), [(0, ""), (1, "1 request was sent again"), (3, "3 requests were sent again")]
)
def test_the_closing_lines_tell_of_retries(
    place: StoreLocation, proxy: FaultyProxy, tmp_path: Path, count: int, said: str
) -> None:
    command(tmp_path, "workload", f"--params={SMALL}", "--out=w.json")
    storage = [f"--data_dir={place.uri}", f"--endpoint_url={place.endpoint_url}"]
    words = ["--workload=w.json", *storage]
    for verb, method in (("generate", "PUT"), ("run", "GET")):
        proxy.script = first(
            Fault.ERROR_503,
            lambda request, method=method: request.method == method and "/train/" in request.path,
            count,
        )
        text = command(tmp_path, verb, *words, f"--result_file={verb}.json")
        assert said in text
        assert ("sent again" in text) == (count > 0)
    assert json.loads((tmp_path / "generate.json").read_text())["retries"] == count
    folder = json.loads((tmp_path / "run.json").read_text())["run_dir"]
    command(tmp_path, "report", folder)
    with open(f"{folder}/report.json", encoding="utf-8") as stream:  # noqa: PTH123
        assert json.load(stream)["retries"] == count


def test_a_store_over_another_one_tells_its_retries(
    place: StoreLocation, proxy: FaultyProxy
) -> None:
    workload = workload_of()
    made(workload, place)
    own = place.child(Identity.of(workload.workload).folder)
    with open_store(own) as store:
        above = LimitedReads(store, 100_000)
        proxy.script = first(Fault.ERROR_500, count=2)
        assert above.stat("files.tsv").size_bytes > 0
        assert above.retries == store.retries == 2


def test_a_store_over_another_one_hands_on_what_is_to_be_expected(
    direct: StoreLocation,
) -> None:
    with open_store(direct, verifies=True) as store:
        parts = (memoryview(bytes(2**20)) for _ in range(17))
        store.write("in parts", parts)
        above = LimitedReads(store, 2**30)
        above.expect(lambda key: "0" * 32 if key == "in parts" else "")
        with pytest.raises(StorageFault, match="do not match its digest"), above.read("in parts"):
            pass

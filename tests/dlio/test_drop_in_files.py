"""The files that a run leaves are those of DLIO: the same fields, kinds of values and lengths."""

from __future__ import annotations

import json
import numbers

import pytest
from matrix import document
from running import Ours, saved

OURS_TO_THEIRS = {
    "summary.json": "summary.json",
    "0_output.json": "0_output.json",
    "0_per_epoch_stats.json": "per_epoch_stats.json",
}
"""The wheel has one file of epochs; the sources of 2026 have one for each rank, as we do."""


OF_2026 = {"end"}
"""What the sources of 2026 have in each epoch of a rank's output, and the wheel has not."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Return our folder of results and that of DLIO, of one YAML on one data set."""
    from dlio_peer import Peer, peer_python

    folder = tmp_path_factory.mktemp("drop_in")
    what, ours = document("npz"), Ours(folder)
    path, _ = saved(what, folder)
    ours.resolve(path)
    what["dataset"]["data_folder"] = str(ours.generate())
    run = ours.run("--data_dir=data")
    ours.call("report", run)
    done = Peer(peer_python(), folder / "peer").run(what, "tiny")
    assert done.returncode == 0, done.output
    return run, done.folder


def kind(value):
    """Return what tools see of a value: numbers are of one kind."""
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return "number" if is_number else type(value).__name__


def differences(ours, theirs, at=""):
    """Yield where two documents differ in fields, kinds of values or lengths of lists."""
    if kind(ours) != kind(theirs):
        yield f"{at}: {kind(ours)}, not {kind(theirs)}"
    elif isinstance(theirs, dict):
        if more := set(ours) - set(theirs) - (OF_2026 if at[1:].isdigit() else set()):
            yield f"{at}: only ours has {more}"
        if missing := set(theirs) - set(ours):
            yield f"{at}: only DLIO's has {missing}"
        for name in set(ours) & set(theirs):
            yield from differences(ours[name], theirs[name], f"{at}.{name}")
    elif isinstance(theirs, list):
        if len(ours) != len(theirs):
            yield f"{at}: {len(ours)} values, not {len(theirs)}"
        for number, pair in enumerate(zip(ours, theirs, strict=False)):
            yield from differences(*pair, f"{at}[{number}]")


@pytest.mark.parametrize("name", OURS_TO_THEIRS)
def test_same_fields_kinds_and_lengths(folders, name):
    ours, theirs = (
        json.loads((folder / file).read_text())
        for folder, file in zip(folders, (name, OURS_TO_THEIRS[name]), strict=True)
    )
    assert list(differences(ours, theirs)) == []


def test_the_log_has_the_lines_that_tools_look_for(folders):
    ours, theirs = ((folder / "dlio.log").read_text() for folder in folders)
    for text in (
        "Running DLIO with 1 process(es)",
        "Max steps per epoch: 9 = 3 * 6 / 2 / 1",
        "Starting epoch 1: 9 steps expected",
        "Starting block 1",
        "Ending block 1 - 9 steps completed in ",
        "Epoch 1 - Block 1 [Training] Accelerator Utilization [AU] (%): ",
        "Epoch 1 - Block 1 [Training] Throughput (samples/second): ",
        "Ending epoch 1 - 9 steps completed in ",
        "Training Accelerator Utilization [AU] (%): ",
        "Training Throughput (samples/second): ",
        "train_au_meet_expectation: ",
    ):
        assert text in theirs
        assert text in ours

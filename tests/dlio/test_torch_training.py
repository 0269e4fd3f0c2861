"""A training with PyTorch is killed, and goes on from its checkpoint in another process."""

from __future__ import annotations

import json
import os
import subprocess
import sysconfig
import time
from pathlib import Path

import pytest
from dlio_peer import peer_python

SOURCES = Path(__file__).resolve().parents[2] / "src"
SCRIPT = Path(__file__).with_name("torch_training.py")
LIMIT_S = 120


def command(word, location):
    """Return a command of the Python that has torch, and the environment that it needs."""
    # The checkout and what it needs come from the Python of the tests.
    path = os.pathsep.join([str(SOURCES), sysconfig.get_path("purelib")])
    return [peer_python(), str(SCRIPT), word, str(location)], os.environ | {"PYTHONPATH": path}


def train_until_it_is_killed(word, location):
    """Return what the training said of its state after the third step."""
    words, env = command(word, location)
    with subprocess.Popen(words, env=env, stdout=subprocess.PIPE, text=True) as process:
        try:
            said = json.loads(process.stdout.readline())
            deadline = time.monotonic() + LIMIT_S
            while not (location / "torch" / "step_00000003.json").exists():
                assert time.monotonic() < deadline, "the checkpoint does not get complete"
                time.sleep(0.01)
        finally:
            process.kill()
    return said


@pytest.mark.parametrize("word", ["train", "async"])
def test_weights_and_optimizer_are_equal_after_a_kill(tmp_path, word):
    location = tmp_path / "checkpoints"
    before = train_until_it_is_killed(word, location)
    (location / "torch" / "step_00000009.ckpt").write_bytes(b"of a write that did not end")
    words, env = command("restore", location)
    done = subprocess.run(
        words, env=env, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stderr
    after, next_step = map(json.loads, done.stdout.splitlines())
    assert before["step"] == 3
    assert after == before
    assert next_step["step"] == 4
    assert next_step["model"] != after["model"]

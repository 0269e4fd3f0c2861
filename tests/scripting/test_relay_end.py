"""A relay that ends closes only what nobody uses any more."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from cm4storage.scripting.console import Secrets
from cm4storage.scripting.relay import Relay


def test_the_way_to_wake_the_thread_is_open_until_the_relay_is_closed() -> None:
    relay = Relay(Secrets(), lambda _: None, 1)
    process = subprocess.Popen(
        ["true"], stdout=relay.stdout, stderr=relay.stderr, start_new_session=True
    )
    relay.begin(process.pid)
    process.wait()
    relay.finish()
    relay._thread.join(timeout=60)
    os.fstat(relay._wake)
    relay.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(relay._wake)


CLOSED = """
import os, subprocess, sys
from cm4storage.scripting.console import Secrets
from cm4storage.scripting.relay import Relay

for descriptor in range(3):
    os.close(descriptor)
relay = Relay(Secrets(), lambda _: None, 1)
process = subprocess.Popen(
    ["sh", "-c", "echo out; echo err >&2; sleep 0.2; echo out; exit 3"],
    stdout=relay.stdout, stderr=relay.stderr, start_new_session=True,
)
relay.begin(process.pid)
code = process.wait()
relay.close()
os._exit(code)
"""


def test_streams_that_are_closed_in_the_course_of_a_run_lead_to_nowhere() -> None:
    done = subprocess.run([sys.executable, "-c", CLOSED], check=False, timeout=60)
    assert done.returncode == 3

"""A relay that ends closes only what nobody uses any more."""

from __future__ import annotations

import os
import subprocess

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

"""The memory of this machine."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Final

_STATUS: Final = Path("/proc/self/status")


def machine_memory_bytes() -> int:
    """Return the size of this machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def peak_memory_bytes() -> int:
    """Return the most memory that this process has had resident so far.

    ``ru_maxrss`` of getrusage(2) has in it what the parent had when it started this process.
    """
    try:
        text = _STATUS.read_text(encoding="ascii", errors="replace")
        [kib] = [line.split()[1] for line in text.splitlines() if line.startswith("VmHWM:")]
        return int(kib) * 1024
    except (OSError, ValueError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB

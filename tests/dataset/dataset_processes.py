"""Generations in processes of their own, and what they leave."""

from __future__ import annotations

import time

from cm4storage.dataset.journal import FOLDER, Journal
from cm4storage.storage.opening import open_store

SLOW_GENERATION = """
import sys, time
from pathlib import Path
from cm4storage.core.progress import NoProgress
from cm4storage.dataset.preparation import prepare
from cm4storage.storage.location import StoreLocation
from cm4storage.workload.resolve import Request, resolve

class Slow(NoProgress):
    def advance(self, units, detail=""):
        time.sleep(0.01)

workload = resolve(Request(params=sys.argv[1])).workload
server_dir = Path(sys.argv[4]) if sys.argv[4] else None
place = StoreLocation.parse(
    sys.argv[2], endpoint_url=sys.argv[3] or None, server_dir=server_dir
)
prepare(workload, place, Slow(), print, threads=2)
"""


def journaled(place, identity):
    """Return the entries in the journal of the data set at `place`."""
    with open_store(place) as store:
        return list(Journal(store, identity).entries())


def wait_for_journal(process, place, identity, files):
    """Wait until the journal knows `files` files."""
    end = time.monotonic() + 60
    while len(journaled(place, identity)) < files:
        assert process.poll() is None, "the generation was over too soon"
        assert time.monotonic() < end
        time.sleep(0.05)


def objects(place):
    """Return the bytes of all objects at `place`, by key."""
    with open_store(place) as store:
        found = {}
        for stat in list(store.list()):
            with store.read(stat.key) as view:
                found[stat.key] = bytes(view)
        return found


def journal_parts(place):
    """Return the keys of the parts of all journals."""
    with open_store(place) as store:
        return [stat.key for stat in store.list(f"{FOLDER}/")]

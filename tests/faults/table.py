"""Print the fault table of a real server: ``python tests/faults/table.py [WORLD] [-v]``."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from cells import TURNS, as_table, run_all
from worlds import WORLDS, world_of

from cm4storage.storage import embedded


def main() -> int:
    """Run all cells of a world (s3-obstore) and show them; -v shows the texts."""
    name = next((word for word in sys.argv[1:] if word in WORLDS), "s3-obstore")
    kind = WORLDS[name][0]
    with (
        tempfile.TemporaryDirectory() as folder,
        embedded.connect(Path(folder, kind), kind) as server,
    ):
        world, begin = world_of(name, server), time.monotonic()
        outcomes = run_all(world)
    for turn in TURNS:
        sys.stdout.write(
            f"\n{world.name}: the fault happens {turn}\n\n{as_table(outcomes, turn)}\n"
        )
    longest = max(outcomes.items(), key=lambda item: item[1].elapsed_s)
    sys.stdout.write(f"\nlongest: {longest[0]}, {longest[1].elapsed_s:.1f} s; ")
    sys.stdout.write(f"all: {time.monotonic() - begin:.0f} s\n")
    for cell, outcome in outcomes.items():
        if outcome.kind == "WRONG" or "-v" in sys.argv:
            sys.stdout.write(f"\n{cell}: {outcome.kind} {outcome.text} {outcome.elapsed_s:.2f}s\n")
    return 1 if any(outcome.kind == "WRONG" for outcome in outcomes.values()) else 0


if __name__ == "__main__":
    sys.exit(main())

"""One client of S3 in a process of its own; tells on stdout what happened.

usage: client_process.py refused|works < access.json
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from cm4storage.core.errors import StorageFault
from cm4storage.storage.objects.s3_service import S3Service
from cm4storage.storage.objects.store import ObjectStore


def refused(store: ObjectStore) -> dict[str, Any]:
    """Try everything, and tell how each of it failed."""
    faults = []
    for use in (
        lambda: store.read("key").__enter__(),
        lambda: store.write("key", [memoryview(b"x")]),
        lambda: list(store.list()),
        lambda: store.stat("key"),
        lambda: store.delete("key"),
    ):
        try:
            use()
        except StorageFault as fault:
            faults.append(fault)
    return {
        "kinds": [type(fault).__name__ for fault in faults],
        "texts": [str(fault) for fault in faults],
        "retries": store.retries,
    }


def works(store: ObjectStore) -> dict[str, Any]:
    """Write and read; tell which variables are not as they were."""
    store.write("process/key", [memoryview(b"x")])
    with store.read("process/key") as view:
        is_same = view == b"x"
    found = [item.key for item in store.list("process/")]
    store.delete("process/key")
    return {"works": is_same and found == ["process/key"]}


if __name__ == "__main__":
    before = dict(os.environ)
    with_settings = ObjectStore("cm4storage", "", S3Service(**json.load(sys.stdin)))
    if sys.argv[1] == "refused":
        outcome = refused(with_settings)
    else:
        lent = sorted(name for name in os.environ if os.environ[name] != before.get(name))
        outcome = works(with_settings) | {"lent": lent}
    sys.stdout.write(json.dumps(outcome))
    with_settings.close()

"""``fsync``: each file and its folder entry are durable before they count as written."""

from __future__ import annotations

import os
import stat

import pytest

from cm4storage.core.progress import NoProgress
from cm4storage.dataset.preparation import prepare
from cm4storage.storage.location import StoreLocation


@pytest.mark.usefixtures("needs_direct_io")
@pytest.mark.parametrize("scheme", ["file", "directio"])
@pytest.mark.parametrize("fsync", [False, True])
def test_files_and_folders_are_synced_if_asked_for(
    small_workload, tmp_path, monkeypatch, scheme, fsync
):
    synced = []
    really_sync = os.fsync

    def sync(descriptor):
        synced.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        really_sync(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    place = StoreLocation.parse(f"{scheme}://{tmp_path}/data")
    made = prepare(small_workload(), place, NoProgress(), lambda _line: None, fsync=fsync)
    assert made.generated
    least = made.manifest.files if fsync else 0
    assert synced.count("file") >= least
    assert synced.count("folder") == (synced.count("file") if fsync else 0)

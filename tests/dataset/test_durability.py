"""``fsync``: each file and its folder entry are durable before they count as written."""

from __future__ import annotations

import os
import stat
from pathlib import Path

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
    folders = []
    really_sync = os.fsync

    def sync(descriptor):
        path = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        synced.append("folder" if is_folder else "file")
        if is_folder:
            folders.append(path)
        really_sync(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    place = StoreLocation.parse(f"{scheme}://{tmp_path}/data")
    made = prepare(small_workload(), place, NoProgress(), lambda _line: None, fsync=fsync)
    assert made.generated
    least = made.manifest.files if fsync else 0
    assert synced.count("file") >= least
    assert synced.count("folder") >= synced.count("file")
    if fsync:
        assert {str(tmp_path), f"{tmp_path}/data"} <= set(folders)
    else:
        assert synced == []

"""A private folder for one run: it goes with the run, or soon after a run that was killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cm4storage.core.errors import StorageFault
from cm4storage.core.files import locked

if TYPE_CHECKING:
    from collections.abc import Iterator

_PREFIX: Final = "cm-run-"
_LOCK_NAME: Final = ".lock"
_SWEPT_AGE_S: Final = 60.0


@contextlib.contextmanager
def private_folder(kind: str = "") -> Iterator[Path]:
    """Make a folder and remove it in the end; what killed runs have left is removed on the way.

    Parameters
    ----------
    kind : str
        Becomes a part of the name.

    Raises
    ------
    StorageFault
        If there is no place for it.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{kind}")).resolve()
    except OSError as error:
        raise StorageFault(
            f"cannot make a temporary folder: {error}", advice="set TMPDIR to a writable folder"
        ) from error
    with locked(folder / _LOCK_NAME):  # which tells `_sweep` of other runs that it is in use
        _sweep(folder.parent)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _sweep(parent: Path) -> None:
    """Remove the folders of runs that were killed: old ones whose lock nobody holds."""
    newest_s = time.time() - _SWEPT_AGE_S
    for folder in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            status = folder.lstat()
            if status.st_uid == os.getuid() and status.st_mtime < newest_s:
                with (folder / _LOCK_NAME).open(encoding="utf-8") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder, ignore_errors=True)

"""Files that are complete or absent: write to a temporary name, sync, rename."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import StorageFault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def write_text_atomically(path: Path, text: str, *, errors: str = "strict") -> None:
    """Write `text` to `path` so that a reader sees the old file or the whole new one.

    Parameters
    ----------
    errors : str
        What becomes of characters that UTF-8 does not know, as for `open`.

    Raises
    ------
    StorageFault
        If the file system refuses; no temporary file is left.
    """
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", errors=errors) as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        raise StorageFault(
            f"cannot write {path.name}: {error.strerror}",
            where=str(path),
            advice="free space or change permissions there, or choose another folder",
        ) from error
    finally:
        with contextlib.suppress(OSError):  # what refused the file refuses this, too
            temporary.unlink()


def write_json_atomically(path: Path, value: Any) -> None:
    """Write `value` as indented, strict JSON; see `write_text_atomically`."""
    write_text_atomically(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


@contextlib.contextmanager
def locked(path: Path, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold an exclusive lock on the file `path`, which is made when missing.

    The kernel frees the lock when the process ends, in whatever way.

    Parameters
    ----------
    path : Path
        The lock file. It stays: removing it would let two holders in.
    on_wait : callable, optional
        Called once when another process holds the lock.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _acquire(descriptor, on_wait)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, on_wait: Callable[[], None] | None) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if on_wait is not None:
            on_wait()
        fcntl.flock(descriptor, fcntl.LOCK_EX)

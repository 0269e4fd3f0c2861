"""Logs of embedded servers: bounded, and without the credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cm4storage.core.units import MIB

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_MAX_LOG_BYTES: Final = 16 * MIB
_TAIL_LINES: Final = 15


class RedactedLog:
    """A log file that a server's output goes through line by line.

    Parameters
    ----------
    path : Path
        The file. The one before it is kept as ``NAME.1``, also when this one grows too large.
    secrets : iterable of str
        What is replaced by ``***``.
    """

    def __init__(self, path: Path, secrets: Iterable[str]) -> None:
        self._path = path
        self._secrets = [secret.encode() for secret in secrets]
        self._pending = b""
        self._start_again()

    def feed(self, data: bytes) -> None:
        """Add output; the last line waits until it is complete."""
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in lines:
            self._write(line + b"\n")
        self._stream.flush()

    def close(self) -> None:
        """Write the incomplete last line, if any, and close the file."""
        if self._pending:
            self._write(self._pending)
        self._stream.close()

    def _write(self, line: bytes) -> None:
        for secret in self._secrets:
            line = line.replace(secret, b"***")
        if self._size_bytes + len(line) > _MAX_LOG_BYTES:
            self._stream.close()
            self._start_again()
        self._stream.write(line)
        self._size_bytes += len(line)

    def _start_again(self) -> None:
        if self._path.exists():
            self._path.replace(self._path.with_name(f"{self._path.name}.1"))
        self._stream = self._path.open("wb")
        self._size_bytes = 0


def tail(path: Path, lines: int = _TAIL_LINES) -> str:
    """Return the last lines of a log, or what keeps us from reading it."""
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - 64 * 1024))
            text = stream.read().decode(errors="replace")
    except OSError as error:
        return f"no log: {error.strerror}"
    kept = [line for line in text.splitlines() if line.strip()]
    return "\n".join(kept[-lines:]) or f"{path} is empty"

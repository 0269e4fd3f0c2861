"""What customize.py prints: without secrets, and never into a JSON document on stdout."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cm4storage.scripting.console import Secrets


class _Shown:
    """A text stream that shows no secret; all but writing is the stream's own."""

    def __init__(self, stream: TextIO, secrets: Secrets) -> None:
        self._stream = stream
        self._secrets = secrets

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text without the secrets in it."""
        self._stream.write(self._secrets.shown(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write texts without the secrets in them."""
        for line in lines:
            self.write(line)


@contextlib.contextmanager
def without_secrets_on_streams(secrets: Secrets, stdout: TextIO) -> Iterator[None]:
    """Let Python code print to `stdout` and to stderr, for a time, without secrets."""
    shown_stdout = cast("TextIO", _Shown(stdout, secrets))
    shown_stderr = cast("TextIO", _Shown(sys.stderr, secrets))
    with contextlib.redirect_stdout(shown_stdout), contextlib.redirect_stderr(shown_stderr):
        yield

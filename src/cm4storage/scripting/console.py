"""What a run says: one plain line per decision, indented by depth."""

from __future__ import annotations

import contextlib
import json
import os
import re
from typing import TYPE_CHECKING, Any, TextIO

from cm4storage.core.errors import SECRETS_IN_URLS, is_secret_name, redact_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_NAME_COLUMNS = 44
# Compiled on first use only, since every run imports this module.
_UNFINISHED_URL = rb"(?i)\b[a-z][a-z0-9+.-]*:(/(/\S*)?)?$"
_LONGEST_URL_BYTES = 4096
_PAIR = r"([\w.+-]+)\s*[=:]\s*([^\s,;&'\"]+)"
_PARAMETER = r"[?&]([\w.-]+)=([^&#\s'\"]+)"
_SIGNATURES = ("signature", "sig")
_PLAIN_WORDS = ("true", "false", "none", "null", "default", "auto")
_STYLES = {"hit": "32", "miss": "33", "warning": "33", "dim": "2", "bold": "1"}


@contextlib.contextmanager
def closing_quietly(stream: TextIO) -> Iterator[None]:
    """Let a stream whose reader has gone lead to nowhere, for us and for our children."""
    try:
        yield
    except BrokenPipeError:
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


def _forms(secret: str) -> set[str]:
    """Return a secret as it may stand in texts: as it is, in lines, quoted as several languages do.

    Short lines of a secret of several lines mean nothing on their own.
    """
    percent = "".join(
        char if char.isascii() and (char.isalnum() or char in "-._~") else _percent(char)
        for char in secret
    )
    quoted = {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    lines = {line.strip() for line in secret.splitlines() if len(line.strip()) >= 8}
    in_shell = secret.replace("'", "'\"'\"'")  # as shlex.quote does
    return {secret, percent, in_shell, repr(secret)[1:-1], *quoted, *lines}


def _percent(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogateescape"))


class Secrets:
    """The secret values that one run has met."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._as_bytes: tuple[bytes, ...] = ()

    def hide(self, secrets: Iterable[str]) -> None:
        """Replace these texts by ``***`` in all that follows. Very short ones are let through."""
        new = {form for secret in secrets if len(secret) >= 4 for form in _forms(secret)}
        if new <= self._known:
            return
        self._known |= new
        ordered = sorted(self._known, key=len, reverse=True)
        self._as_bytes = tuple(text.encode("utf-8", "surrogateescape") for text in ordered)

    def shown(self, text: str) -> str:
        """Return `text` as it may be shown: without secrets."""
        # The longest first: one secret may hold another.
        for secret in sorted(self._known, key=len, reverse=True):
            text = text.replace(secret, "***")
        return redact_url(text)

    def shown_bytes(self, data: bytes) -> bytes:
        """Return what a process has written as it may be shown: without secrets."""
        for secret in self._as_bytes:
            data = data.replace(secret, b"***")
        for pattern, instead in SECRETS_IN_URLS if b"://" in data else ():
            data = re.sub(pattern.encode(), instead.encode(), data)
        return data

    def unfinished_bytes(self, data: bytes) -> int:
        """Return how many bytes at the end of `data` may be the beginning of a secret."""
        longest = max(map(len, self._as_bytes), default=0)
        most = 0
        for length in range(1, min(longest, len(data) + 1)):
            end = data[-length:]
            if any(len(each) > length and each.startswith(end) for each in self._as_bytes):
                most = length
        line = data[max(data.rfind(b"\n"), data.rfind(b"\r")) + 1 :]
        url = re.search(_UNFINISHED_URL, line[-_LONGEST_URL_BYTES:]) if b":" in line else None
        return len(data) - self._before_secret(
            data, len(data) - max(most, len(url[0]) if url else 0)
        )

    def _before_secret(self, data: bytes, cut: int) -> int:
        """Return `cut`, or where the secret begins that it would cut in two."""
        for secret in self._as_bytes:
            start = data.find(secret, max(0, cut - len(secret) + 1), cut + len(secret) - 1)
            if 0 <= start < cut:
                return self._before_secret(data, start)
        return cut


class Console:
    """Writes lines for people.

    Parameters
    ----------
    stream : TextIO
        Where lines go. Colours are used only if it is a terminal.
    is_silent : bool
        Drop everything but warnings.
    secrets : Secrets, optional
        What no line may show.
    """

    def __init__(
        self, stream: TextIO, *, is_silent: bool = False, secrets: Secrets | None = None
    ) -> None:
        self.stream = stream
        self._is_silent = is_silent
        self._has_colours = stream.isatty()
        self.secrets = secrets if secrets is not None else Secrets()

    def hide(self, secrets: Iterable[str]) -> None:
        """Replace these texts by ``***`` in all that follows."""
        self.secrets.hide(secrets)

    def shown(self, text: str) -> str:
        """Return `text` as it may be shown: without secrets."""
        return self.secrets.shown(text)

    def line(self, text: str = "", *, style: str = "") -> None:
        """Write one line."""
        if not self._is_silent:
            self._write(self.shown(text), style)

    def warning(self, text: str) -> None:
        """Write a line that is shown even under ``--silent``."""
        self._write(f"warning: {self.shown(text)}", "warning")

    def recipe(self, depth: int, name: str, decision: str = "") -> None:
        """Write a recipe's line: its name and, aligned, what is done about it."""
        start = f"{'  ' * depth}{name}"
        style = decision.partition(":")[0]
        if not decision:
            self.line(start, style="bold")
        else:
            self.line(f"{start:<{_NAME_COLUMNS}}  {decision}", style=style)

    def flush(self) -> None:
        """Let a process that shares the stream write after what was said so far."""
        with closing_quietly(self.stream):
            self.stream.flush()

    def _write(self, text: str, style: str) -> None:
        if self._has_colours and style in _STYLES:
            text = f"\033[{_STYLES[style]}m{text}\033[0m"
        encoding = self.stream.encoding or "utf-8"
        text = text.encode(encoding, "backslashreplace").decode(encoding)
        with closing_quietly(self.stream):  # `| head` does not end the run
            self.stream.write(f"{text}\n")
            self.stream.flush()


def without_secrets(result: Any, secrets: Secrets | None = None) -> Any:
    """Return a result as plain values, in which secrets are ``***``.

    Parameters
    ----------
    secrets : Secrets, optional
        Values to look for everywhere. Variables with the name of a secret are hidden in any case.
    """
    known = secrets if secrets is not None else Secrets()
    if isinstance(result, dict):
        return {
            known.shown(str(name)): "***"
            if is_secret_name(str(name)) and value
            else without_secrets(value, known)
            for name, value in result.items()
        }
    if isinstance(result, (list, tuple)):
        return [without_secrets(item, known) for item in result]
    if result is None or isinstance(result, (bool, int, float)):
        return result
    return known.shown(str(result))


def host_secrets() -> Iterator[str]:
    """Yield the secrets in this process's environment, which scripts inherit and may print.

    Words, small numbers and paths of files that hold credentials are none.
    """
    for name, text in os.environ.items():
        is_plain = text.lower() in _PLAIN_WORDS or text.startswith(("/", "~"))
        if is_secret_name(name) and not is_plain and not (text.isdigit() and len(text) < 8):
            yield text


def secret_texts(value: Any, *, is_secret: bool = False) -> Iterator[str]:
    """Yield the secrets in a user's call, at any depth.

    They are what stands under the name of a secret, also within a text: ``--params="a.token=x"``.
    """
    if isinstance(value, dict):
        for name, item in value.items():
            yield from secret_texts(item, is_secret=is_secret or is_secret_name(str(name)))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from secret_texts(item, is_secret=is_secret)
    elif is_secret and isinstance(value, (str, int, float)) and not isinstance(value, bool):
        yield str(value)
    elif isinstance(value, str) and _may_hold_secret(value):
        # A text without either sign, such as the tags, holds no pair.
        pairs = re.findall(_PAIR, value) if "=" in value or ":" in value else []
        pairs += re.findall(_PARAMETER, value) if "?" in value else []
        if "earer " in value:  # the value of an HTTP header
            yield from re.findall(r"(?i)\bbearer\s+([^\s,;\"']+)", value)
        for name, text in pairs:
            is_secret = is_secret_name(name) or name.lower().endswith(_SIGNATURES)
            if is_secret and text.lower() not in _PLAIN_WORDS:
                yield text


def _may_hold_secret(text: str) -> bool:
    """Tell whether to look closely: most texts name nothing that is secret."""
    lowered = text.lower()
    return is_secret_name(lowered) or "bearer " in lowered or "sig" in lowered

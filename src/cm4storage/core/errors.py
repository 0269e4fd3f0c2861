"""The errors that users see.

``StorageBenchmarkError``
├── ``UserError``      the configuration, the input or the call is wrong   exit code 1
│   └── ``UsageError`` the command line itself is wrong                    exit code 2
├── ``StorageFault``   the storage or the data on it failed                exit code 3
├── ``MissedThreshold`` the run is valid, but not as good as was asked for  exit code 4
└── ``InternalError``  a defect of this project                            exit code 70
"""

from __future__ import annotations

import enum
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any


class ExitCode(enum.IntEnum):
    """The exit codes of the command line and of the recipes."""

    OK = 0
    USER = 1
    USAGE = 2
    STORAGE = 3
    MISSED = 4
    UNDECIDED = 5
    INTERNAL = 70
    INTERRUPTED = 130
    TERMINATED = 143


class StorageBenchmarkError(Exception):
    """Root of all errors that are shown to a user without a traceback.

    Parameters
    ----------
    what : str
        What happened, in one line.
    where : str, optional
        The workload key, file and byte, object, rank or chain of recipes.
    meaning : str, optional
        What it means, or the usual cause.
    advice : str, optional
        What to do next.
    """

    exit_code: ExitCode = ExitCode.INTERNAL

    def __init__(self, what: str, *, where: str = "", meaning: str = "", advice: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.meaning = meaning
        self.advice = advice

    def render(self) -> str:
        """Return the error as the lines that a terminal shows."""
        lines = [f"error: {self.what}"]
        for label, text in (
            ("where", self.where),
            ("cause", self.meaning),
            ("to do", self.advice),
        ):
            if text:
                indented = text.replace("\n", "\n         ")
                lines.append(f"  {label}: {indented}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.render().removeprefix("error: ")


class UserError(StorageBenchmarkError):
    """The configuration, the input or the call is wrong."""

    exit_code = ExitCode.USER


class UsageError(UserError):
    """The command line itself is wrong."""

    exit_code = ExitCode.USAGE


class StorageFault(StorageBenchmarkError):
    """The storage, or the data on it, failed."""

    exit_code = ExitCode.STORAGE


class MissedThreshold(StorageBenchmarkError):
    """The run is valid, but a figure is not as good as the user asked for."""

    exit_code = ExitCode.MISSED


class InternalError(StorageBenchmarkError):
    """A defect of this project."""

    exit_code = ExitCode.INTERNAL


# Compiled on first use only: an import of this module stands in the way of every command.
# The user part; what is signed in presigned S3 URLs and in Azure's shared access signatures.
SECRETS_IN_URLS = (
    (r"(?<=://)[^/@\s]+@", "***@"),
    (r"(?i)([?&](?:x-amz-signature|x-amz-security-token|signature|sig)=)[^&#\s'\"]+", r"\1***"),
)
"""Patterns of secrets, and what stands in their place."""

_SECRET_WORDS = (
    *("secret", "passw", "token", "credential", "sas", "apikey", "api_key", "accesskey"),
    *("access_key", "accountkey", "account_key", "connectionstring", "connection_string"),
    "storage_key",
)


def is_secret_name(name: str) -> bool:
    """Tell whether a variable or input of this name holds a secret."""
    lowered = name.lower()
    return any(word in lowered for word in _SECRET_WORDS)


def redact_url(text: str) -> str:
    """Return `text` with the user part and the signature of every URL replaced by ``***``."""
    for pattern, instead in SECRETS_IN_URLS if "://" in text else ():
        text = re.sub(pattern, instead, text)
    return text


def redact_urls(value: Any) -> Any:
    """Return `value` with the secrets of all URLs in it hidden, such as those of an endpoint."""
    if isinstance(value, str):
        return redact_url(value)
    if isinstance(value, dict):
        return {name: redact_urls(each) for name, each in value.items()}
    if isinstance(value, list):
        return list(map(redact_urls, value))
    return value


def redact_words(words: Iterable[str]) -> list[str]:
    """Return the words of a command without secrets.

    ``***`` stands for the value of ``NAME=VALUE`` where the name is a secret's, of such pairs
    within a word too, for the word after such a ``--name``, and for what `redact_url` replaces.
    """
    shown: list[str] = []
    follows_secret = False
    for word in words:
        shown.append("***" if follows_secret else redact_url(_without_secret(word)))
        follows_secret = word.startswith("--") and "=" not in word and is_secret_name(word)
    return shown


def _without_secret(word: str) -> str:
    name, equals, _ = word.partition("=")
    if equals and is_secret_name(name):
        return f"{name}=***"
    names = "|".join(_SECRET_WORDS)
    pair = rf"(?i)([\w.+-]*(?:{names})[\w.-]*=)('[^']*'|\"[^\"]*\"|[^\s,}}&]+)"
    return re.sub(pair, r"\1***", word) if equals else word

"""What differs between the worlds of object services: the default endpoint, and the credentials."""

from __future__ import annotations

import os
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from cm4storage.storage.objects.service import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cm4storage.storage.location import StoreLocation

Environment = dict[str, str]


@dataclass(frozen=True)
class Endpoint:
    """Where a service is, and how it is reached.

    Attributes
    ----------
    url : str
    host, port : str, int
        Of the service.
    proxy : tuple of str and int, or None
        What the environment puts between.
    """

    url: str
    host: str
    port: int
    proxy: tuple[str, int] | None = None

    @property
    def is_tls(self) -> bool:
        """Tell whether the service is to be spoken to by https."""
        return self.url.startswith("https://")

    @property
    def next_hop(self) -> tuple[str, int]:
        """Return the host and port to connect to."""
        return self.proxy or (self.host, self.port)

    @classmethod
    def of(cls, url: str) -> Endpoint:
        """Return the endpoint at `url`, and the proxy that the environment names for it."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return cls(url, host, port, _proxy(url, parts.scheme, host))


def _proxy(url: str, scheme: str, host: str) -> tuple[str, int] | None:
    named = urllib.request.getproxies_environment().get(scheme, "")
    if not named or is_loopback(url) or urllib.request.proxy_bypass(host):
        return None
    parts = urlsplit(named if "://" in named else f"http://{named}")
    return (parts.hostname or "", parts.port or 80)


@dataclass(frozen=True)
class World:
    """What the services of one scheme have in common.

    Attributes
    ----------
    endpoint_variables : tuple of str
        The variables that name an endpoint.
    default_url : callable
        The public service, for an environment; empty where none is known.
    credentials : tuple of pairs
        The variables that hold credentials, or lead to them, and what to call them.
    """

    endpoint_variables: tuple[str, ...]
    default_url: Callable[[Mapping[str, str]], str]
    credentials: tuple[tuple[str, str], ...]


def _amazon(environment: Mapping[str, str]) -> str:
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or "us-east-1"
    return f"https://s3.{region}.amazonaws.com"


def _azure(environment: Mapping[str, str]) -> str:
    for setting in environment.get("AZURE_STORAGE_CONNECTION_STRING", "").split(";"):
        name, _, value = setting.partition("=")
        if name == "BlobEndpoint":
            return value
        if name == "AccountName":
            return f"https://{value}.blob.core.windows.net"
    account = environment.get("AZURE_STORAGE_ACCOUNT_NAME") or environment.get(
        "AZURE_STORAGE_ACCOUNT", ""
    )
    return f"https://{account}.blob.core.windows.net" if account else ""


_AZURE_KEYS: Final = (
    *("AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY"),
    *("AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY"),
)

WORLDS: Final[Mapping[str, World]] = {
    "s3": World(
        ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
        _amazon,
        (
            ("AWS_SKIP_SIGNATURE", "none, by AWS_SKIP_SIGNATURE"),
            ("AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID"),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", "the file that AWS_WEB_IDENTITY_TOKEN_FILE names"),
            ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
            ("AWS_PROFILE", "the profile that AWS_PROFILE names"),
        ),
    ),
    "az": World(
        ("AZURE_STORAGE_ENDPOINT", "AZURE_STORAGE_SERVICE_ENDPOINT"),
        _azure,
        (
            ("AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_CONNECTION_STRING"),
            *((name, name) for name in _AZURE_KEYS),
            ("AZURE_CLIENT_ID", "the identity that AZURE_CLIENT_ID names"),
        ),
    ),
}


def endpoint_url_of(location: StoreLocation, environment: Environment | None = None) -> str:
    """Return the endpoint that requests go to; empty where it is not known before."""
    known = os.environ if environment is None else environment
    world = WORLDS[location.scheme]
    named = (known.get(name, "") for name in world.endpoint_variables)
    return location.endpoint_url or next(filter(None, named), "") or world.default_url(known)


def credentials_source(scheme: str, environment: Environment | None = None) -> str:
    """Return where credentials come from, never what they are; empty where none are named."""
    known = os.environ if environment is None else environment
    return next((text for name, text in WORLDS[scheme].credentials if known.get(name)), "")

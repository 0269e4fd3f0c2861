"""What differs between the worlds of object services: the default endpoint, and the credentials."""

from __future__ import annotations

import base64
import os
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from cm4storage.storage.objects import s3_settings
from cm4storage.storage.objects.service import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cm4storage.storage.location import StoreLocation
    from cm4storage.storage.objects.service import ObjectService

Environment = dict[str, str]
_UNSIGNED: Final = "AWS_SKIP_SIGNATURE"


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
    proxy_login : str
        The user part of the proxy's URL, as it is written there.
    """

    url: str
    host: str
    port: int
    proxy: tuple[str, int] | None = None
    proxy_login: str = field(default="", repr=False)

    @property
    def is_tls(self) -> bool:
        """Tell whether the service is to be spoken to by https."""
        return self.url.startswith("https://")

    @property
    def next_hop(self) -> tuple[str, int]:
        """Return the host and port to connect to."""
        return self.proxy or (self.host, self.port)

    @property
    def proxy_headers(self) -> dict[str, str]:
        """Return what lets us through the proxy (RFC 7617); a secret."""
        if not self.proxy_login:
            return {}
        encoded = base64.b64encode(unquote(self.proxy_login).encode()).decode()
        return {"Proxy-Authorization": f"Basic {encoded}"}

    @classmethod
    def of(cls, url: str) -> Endpoint:
        """Return the endpoint at `url`, and the proxy that the environment names for it."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        named = _proxy(url, parts.scheme, host)
        if not named:
            return cls(url, host, port)
        proxy = urlsplit(named if "://" in named else f"http://{named}")
        login = proxy.netloc.rpartition("@")[0]
        return cls(url, host, port, (proxy.hostname or "", proxy.port or 80), login)


def _proxy(url: str, scheme: str, host: str) -> str:
    named = urllib.request.getproxies_environment().get(scheme, "")
    return "" if is_loopback(url) or urllib.request.proxy_bypass(host) else named


@dataclass(frozen=True)
class World:
    """What the services of one scheme have in common.

    Attributes
    ----------
    endpoint_url : callable
        The endpoint that an environment names, else the public one; empty where none is known.
    credentials : tuple of pairs
        The variables that hold credentials, or lead to them, and what to call them.
    """

    endpoint_url: Callable[[Mapping[str, str]], str]
    credentials: tuple[tuple[str, str], ...]


def _s3(environment: Mapping[str, str]) -> str:
    # Without credentials no settings of a service are read.
    found = s3_settings.read(None, {**environment, "AWS_SKIP_SIGNATURE": "true"})
    return found.endpoint_url or _amazon(found.region)


def _amazon(region: str) -> str:
    return f"https://s3.{region}.amazonaws.com"


_AZURE_ENDPOINTS: Final = ("AZURE_STORAGE_ENDPOINT", "AZURE_STORAGE_SERVICE_ENDPOINT")


def _azure(environment: Mapping[str, str]) -> str:
    for setting in environment.get("AZURE_STORAGE_CONNECTION_STRING", "").split(";"):
        name, _, value = setting.partition("=")
        if name == "BlobEndpoint":
            return value
        if name == "AccountName":
            return f"https://{value}.blob.core.windows.net"
    for name in _AZURE_ENDPOINTS:
        if environment.get(name):
            return environment[name]
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
        _s3,
        (
            (_UNSIGNED, "none, by AWS_SKIP_SIGNATURE"),
            ("AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID"),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", "the file that AWS_WEB_IDENTITY_TOKEN_FILE names"),
            ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
            ("AWS_PROFILE", "the profile that AWS_PROFILE names"),
        ),
    ),
    "az": World(
        _azure,
        (
            ("AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_CONNECTION_STRING"),
            *((name, name) for name in _AZURE_KEYS),
            ("AZURE_CLIENT_ID", "the identity that AZURE_CLIENT_ID names"),
        ),
    ),
}


def endpoint_url_of(
    location: StoreLocation,
    environment: Environment | None = None,
    service: ObjectService | None = None,
) -> str:
    """Return the endpoint that requests go to; empty where it is not known before.

    Parameters
    ----------
    location : StoreLocation
    environment : dict, optional
        In place of the process's.
    service : ObjectService, optional
        The service, where it is open: it knows, also from shared files.
    """
    if service is not None:
        known_url = getattr(service, "endpoint_url", None)
        return known_url or _amazon(getattr(service, "region", s3_settings.DEFAULT_REGION))
    known = os.environ if environment is None else environment
    return location.endpoint_url or WORLDS[location.scheme].endpoint_url(known)


def credentials_source(scheme: str, environment: Environment | None = None) -> str:
    """Return where credentials come from, never what they are; empty where none are named."""
    known = os.environ if environment is None else environment
    named = (text for name, text in WORLDS[scheme].credentials if _is_set(known, name))
    return next(named, "")


def _is_set(known: Mapping[str, str], name: str) -> bool:
    if name != _UNSIGNED:
        return bool(known.get(name))
    return s3_settings.read(None, {name: known.get(name, "")}).anonymous

"""What all object services have in common."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

from cm4storage.storage.objects.retrying import never

if TYPE_CHECKING:
    from collections.abc import Callable

    from cm4storage.core.errors import StorageFault
    from cm4storage.storage.objects.client import ObjectClient

READ_TIMEOUT_S: Final = 30.0
"""How long a service may stay silent within one request. Longer than the retry limit: a slow
service is not a dead one."""

CONNECT_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True)
class Words:
    """How a world of object services calls its things.

    Attributes
    ----------
    container : str
        ``bucket`` or ``container``.
    credentials : str
        Where credentials come from, for advice.
    extra : str
        The extra of this package that brings the clients.
    making : str
        The command that makes a bucket, with the fields ``container_name`` and
        ``endpoint_option``; empty where there is none to name.
    ca_bundle : str
        The variable that names a file of certificate authorities.
    """

    container: str
    credentials: str
    extra: str
    making: str = ""
    ca_bundle: str = "SSL_CERT_FILE"


class ObjectService(Protocol):
    """A service: where it is, who we are there, and how its clients are made."""

    @property
    def name(self) -> str:
        """How messages call the service."""

    @property
    def scheme(self) -> str:
        """The scheme of its locations."""

    @property
    def words(self) -> Words:
        """How it calls its things."""

    @property
    def lists_in_key_order(self) -> bool:
        """Tell whether listings are surely in the order of keys."""

    def client(
        self,
        container: str,
        prefix: str,
        retry_limit_s: float,
        is_in_vain: Callable[[], bool] = never,
    ) -> ObjectClient:
        """Return a client for the objects below `prefix` in `container`.

        The last two are what its own retries keep to; see `Retrier`.
        """


class HasCredentials(Protocol):
    """What an embedded server tells its users."""

    @property
    def endpoint_url(self) -> str:
        """Where it listens."""

    @property
    def access_key_id(self) -> str:
        """The public half of the credentials; on Azure the account."""

    @property
    def secret_access_key(self) -> str:
        """The secret half."""


class OwnServer(Protocol):
    """An embedded server: one of whose state more is known than it answers."""

    def free_bytes(self) -> int:
        """Return the space left for its data."""

    def has_ended(self) -> bool:
        """Tell whether it is surely gone, so that nobody need wait for it."""

    def explain(self, fault: StorageFault) -> StorageFault:
        """Return what `fault` has to do with the server's state."""


def is_loopback(endpoint_url: str) -> bool:
    """Tell whether an endpoint is on this machine's loopback."""
    host = host_of(endpoint_url)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def host_of(endpoint_url: str | None) -> str:
    """Return the host of an endpoint, empty where there is none."""
    return urlsplit(endpoint_url or "").hostname or ""


def obstore_client_options(endpoint_url: str | None) -> Any:
    """Return how obstore connects to an endpoint; None is the public service of its world."""
    options: dict[str, Any] = {
        # The client's limit for one whole request would forbid large objects on slow links.
        "timeout": "6h",
        "connect_timeout": f"{CONNECT_TIMEOUT_S * 1e3:.0f}ms",
        "read_timeout": f"{READ_TIMEOUT_S * 1e3:.0f}ms",
        "pool_idle_timeout": "15s",
        "allow_http": (endpoint_url or "").startswith("http://"),
    }
    if endpoint_url and is_loopback(endpoint_url):
        # A proxy that the environment names cannot reach this machine's loopback. Naming one
        # ourselves, with every loopback host excluded, is how the client bypasses it.
        options["proxy_url"] = "http://127.0.0.1:9"
        options["proxy_excludes"] = f"localhost,127.0.0.0/8,::1,{host_of(endpoint_url)}"
    return options

"""Which S3 service to talk to, and how: endpoint, credentials, retries, proxies."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

from cm4storage.core.errors import UserError
from cm4storage.storage.location import check_endpoint
from cm4storage.storage.store import RETRY_LIMIT_S

if TYPE_CHECKING:
    from collections.abc import Mapping

    from obstore.store import S3Store as ObstoreS3

# How long a service may stay silent within one request. Longer than the retry limit: a slow
# service is not a dead one.
_READ_TIMEOUT: Final = "30s"
# The client's limit for one whole request would forbid large objects on slow links.
_REQUEST_TIMEOUT: Final = "6h"
_CREDENTIAL_SOURCES: Final = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SKIP_SIGNATURE",
)


class HasCredentials(Protocol):
    """What an embedded server tells its users."""

    @property
    def endpoint_url(self) -> str:
        """Where it listens."""

    @property
    def access_key_id(self) -> str:
        """The public half of the credentials."""

    @property
    def secret_access_key(self) -> str:
        """The secret half."""


@dataclass(frozen=True)
class S3Service:
    """An S3 service and the credentials for it.

    Attributes
    ----------
    endpoint_url : str or None
        None for Amazon's own.
    access_key_id, secret_access_key : str or None
        None: the client takes them from the standard environment.
    """

    endpoint_url: str | None = None
    access_key_id: str | None = field(default=None, repr=False)
    secret_access_key: str | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """How messages call the service."""
        return self.endpoint_url or "Amazon S3"

    @property
    def is_loopback(self) -> bool:
        """Tell whether the service runs on this machine."""
        return self.endpoint_url is not None and is_loopback(self.endpoint_url)

    @property
    def lists_in_key_order(self) -> bool:
        """Tell whether listings are surely in the order of keys, as Amazon's are."""
        host = urlsplit(self.endpoint_url or "").hostname or ""
        return self.endpoint_url is None or host.endswith(".amazonaws.com")

    def client(self, bucket: str, prefix: str, retry_limit_s: float = RETRY_LIMIT_S) -> ObstoreS3:
        """Return a client for the objects below `prefix` in `bucket`."""
        from obstore.store import S3Store as ObstoreS3

        return ObstoreS3(
            bucket,
            prefix=prefix or None,
            config=self._config(),
            client_options=self._client_options(),
            retry_config={
                "max_retries": 1000,
                "retry_timeout": timedelta(seconds=retry_limit_s),
                "backoff": {
                    "init_backoff": timedelta(milliseconds=100),
                    "max_backoff": timedelta(seconds=4),
                    "base": 2,
                },
            },
            credential_provider=self._provider(),
        )

    def _config(self) -> Any:
        config: dict[str, Any] = {}
        if self.endpoint_url is not None:
            config["endpoint"] = self.endpoint_url
            if "AWS_ENDPOINT_URL_S3" in os.environ:
                # The client would prefer that variable to the endpoint it is given.
                config["aws_endpoint_url_s3"] = self.endpoint_url
        if self.access_key_id is not None:
            config |= {
                "region": "us-east-1",
                "skip_signature": False,
                "virtual_hosted_style_request": False,
            }
        if self.is_loopback or not (self.endpoint_url or "").startswith("http://"):
            # TLS or the kernel guards the bytes; hashing them again costs most of a PUT.
            config["unsigned_payload"] = True
        return config

    def _client_options(self) -> Any:
        options: dict[str, Any] = {
            "timeout": _REQUEST_TIMEOUT,
            "connect_timeout": "5s",
            "read_timeout": _READ_TIMEOUT,
            "pool_idle_timeout": "15s",
            "allow_http": (self.endpoint_url or "").startswith("http://"),
        }
        if self.is_loopback:
            # A proxy that the environment names cannot reach this machine's loopback. Naming one
            # ourselves, with every loopback host excluded, is how the client bypasses it.
            options["proxy_url"] = "http://127.0.0.1:9"
            options["proxy_excludes"] = f"localhost,127.0.0.0/8,::1,{_host(self.endpoint_url)}"
        return options

    def _provider(self) -> Any:
        """Give known credentials by a call, so that no AWS_SESSION_TOKEN is mixed in."""
        if self.access_key_id is None:
            return None
        credentials = {
            "access_key_id": self.access_key_id,
            "secret_access_key": self.secret_access_key,
            "token": None,
            "expires_at": None,
        }
        return lambda: credentials


def from_environment(
    endpoint_url: str | None, environment: Mapping[str, str] | None = None
) -> S3Service:
    """Return the service at `endpoint_url`, else the one that the ``AWS_*`` variables name.

    Raises
    ------
    UserError
        If the endpoint is malformed, or a service other than Amazon's has no credentials.
    """
    known = os.environ if environment is None else environment
    endpoint = endpoint_url or known.get("AWS_ENDPOINT_URL_S3") or known.get("AWS_ENDPOINT_URL")
    if not endpoint:
        return S3Service()
    check_endpoint(endpoint)
    if not any(known.get(name) for name in _CREDENTIAL_SOURCES):
        raise UserError(
            "no credentials for the S3 service",
            where=endpoint,
            meaning="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set",
            advice="export both, or AWS_SKIP_SIGNATURE=true for a public bucket",
        )
    return S3Service(endpoint.rstrip("/"))


def of_embedded(server: HasCredentials) -> S3Service:
    """Return the service of an embedded server."""
    return S3Service(server.endpoint_url, server.access_key_id, server.secret_access_key)


def is_loopback(endpoint_url: str) -> bool:
    """Tell whether an endpoint is on this machine's loopback."""
    host = _host(endpoint_url)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _host(endpoint_url: str | None) -> str:
    return urlsplit(endpoint_url or "").hostname or ""

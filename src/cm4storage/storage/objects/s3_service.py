"""Which S3 service to talk to, and how: endpoint, credentials, retries, proxies."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from cm4storage.core.errors import UserError
from cm4storage.storage.location import check_endpoint
from cm4storage.storage.objects.service import (
    Words,
    host_of,
    is_loopback,
    obstore_client_options,
)
from cm4storage.storage.store import RETRY_LIMIT_S

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cm4storage.storage.objects.client import ObjectClient
    from cm4storage.storage.objects.service import HasCredentials

_CREDENTIAL_SOURCES: Final = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SKIP_SIGNATURE",
)


_WORDS: Final = Words(
    container="bucket",
    credentials="AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY",
    extra="s3",
)


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
    def scheme(self) -> str:
        """The scheme of its locations."""
        return "s3"

    @property
    def words(self) -> Words:
        """How it calls its things."""
        return _WORDS

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
        host = host_of(self.endpoint_url)
        return self.endpoint_url is None or host.endswith(".amazonaws.com")

    def client(
        self, container: str, prefix: str, retry_limit_s: float = RETRY_LIMIT_S
    ) -> ObjectClient:
        """Return a client for the objects below `prefix` in the bucket `container`."""
        from cm4storage.storage.objects.obstore_client import ObstoreClient

        def make_store(retry_config: Any) -> Any:
            from obstore.store import S3Store

            return S3Store(
                container,
                prefix=prefix or None,
                config=self._config(),
                client_options=obstore_client_options(self.endpoint_url),
                retry_config=retry_config,
                credential_provider=self._provider(),
            )

        return ObstoreClient(make_store, retry_limit_s)

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

"""Which S3 service to talk to, and how: endpoint, credentials, addressing, client."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cm4storage.core.errors import UserError
from cm4storage.storage.objects import s3_clients, s3_settings
from cm4storage.storage.objects.retrying import Retrier, never
from cm4storage.storage.objects.s3_settings import DEFAULT_REGION, Keys
from cm4storage.storage.objects.service import Words, is_loopback
from cm4storage.storage.store import RETRY_LIMIT_S

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cm4storage.storage.objects.client import ObjectClient
    from cm4storage.storage.objects.service import HasCredentials

_WORDS: Final = Words(
    container="bucket",
    credentials="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    extra="s3",
    making="aws s3 mb s3://{container_name}{endpoint_option}",
    ca_bundle="AWS_CA_BUNDLE",
)
_CERTIFICATE: Final = "-----BEGIN CERTIFICATE-----"
# The source itself knows when they expire; obstore asks it again as often as this lets it, which
# is some times a second, since they seem about to.
_KEYS_LAST: Final = timedelta(minutes=1)


@dataclass(frozen=True)
class S3Service:
    """An S3 service and the credentials for it.

    Attributes
    ----------
    endpoint_url : str or None
        None for Amazon's own.
    access_key_id, secret_access_key : str or None
        Credentials that stay the same. None: `key_source` gives them.
    key_source : callable or None
        Returns the credentials of this moment. None: the client finds them itself.
    region : str
        The region that requests are signed for.
    anonymous : bool
        Requests are not signed.
    virtual_hosts : bool
        The bucket is part of the host's name, not of the path.
    ca_bundle : str
        A file with the authorities that sign the service's certificate; empty for the system's.
    client_name : str
        One of `s3_clients.KNOWN`; empty for the first.
    """

    endpoint_url: str | None = None
    access_key_id: str | None = field(default=None, repr=False)
    secret_access_key: str | None = field(default=None, repr=False)
    key_source: Callable[[], Keys] | None = field(default=None, repr=False)
    region: str = DEFAULT_REGION
    anonymous: bool = False
    virtual_hosts: bool = False
    ca_bundle: str = ""
    client_name: str = ""

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
        return s3_clients.is_amazon(self.endpoint_url)

    def keys(self) -> Keys | None:
        """Return the credentials of this moment; None where the client finds them itself."""
        if self.anonymous:
            return None
        if self.access_key_id is not None:
            return Keys(self.access_key_id, self.secret_access_key or "")
        return self.key_source() if self.key_source else None

    def client(
        self,
        container: str,
        prefix: str,
        retry_limit_s: float = RETRY_LIMIT_S,
        is_in_vain: Callable[[], bool] = never,
    ) -> ObjectClient:
        """Return a client for the objects below `prefix` in the bucket `container`."""
        return s3_clients.make(self, container, prefix, Retrier(retry_limit_s, is_in_vain))

    def read_ca_bundle(self) -> str:
        """Return the certificates of `ca_bundle`.

        Raises
        ------
        UserError
            If the file cannot be read, or holds no certificate.
        """
        try:
            text = Path(self.ca_bundle).read_text(encoding="ascii", errors="replace")
        except OSError as error:
            raise UserError(
                f"cannot read the certificate authorities: {error.strerror}",
                where=self.ca_bundle,
                advice="correct AWS_CA_BUNDLE",
            ) from error
        if _CERTIFICATE not in text:
            raise UserError(
                "the file with the certificate authorities holds no certificate",
                where=self.ca_bundle,
                meaning="AWS_CA_BUNDLE, or ca_bundle of the profile, names it",
                advice="let it name certificates in PEM form",
            )
        return text

    def obstore_credentials(self) -> Any:
        """Give credentials by a call, so that no variable such as AWS_SESSION_TOKEN is mixed in."""
        if self.anonymous or (self.access_key_id is None and self.key_source is None):
            return None

        def provide() -> Any:
            keys = self.keys() or Keys("", "")
            expires = None if self.key_source is None else datetime.now(timezone.utc) + _KEYS_LAST
            return {
                "access_key_id": keys.access_key_id,
                "secret_access_key": keys.secret_access_key,
                "token": keys.session_token,
                "expires_at": expires,
            }

        return provide


def from_environment(
    endpoint_url: str | None, environment: Mapping[str, str] | None = None, client_name: str = ""
) -> S3Service:
    """Return the service at `endpoint_url`, else the one that variables or a profile name.

    Raises
    ------
    UserError
        If a setting is malformed, or a service other than Amazon's has no credentials.
    """
    s3_clients.check(client_name)
    found = s3_settings.read(endpoint_url, environment)
    return S3Service(
        found.endpoint_url,
        key_source=found.key_source,
        region=found.region,
        anonymous=found.anonymous,
        virtual_hosts=found.virtual_hosts,
        ca_bundle=found.ca_bundle,
        client_name=client_name,
    )


def of_embedded(server: HasCredentials, client_name: str = "") -> S3Service:
    """Return the service of an embedded server, which nothing of the environment reaches."""
    return S3Service(
        server.endpoint_url,
        server.access_key_id,
        server.secret_access_key,
        client_name=s3_clients.check(client_name),
    )

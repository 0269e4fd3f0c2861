"""Which Azure account to talk to, and how: endpoint, credentials, client, proxies."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlsplit

from cm4storage.core.errors import UserError
from cm4storage.storage.location import check_endpoint
from cm4storage.storage.objects.retrying import Retrier, never
from cm4storage.storage.objects.service import (
    Words,
    host_of,
    is_loopback,
    obstore_client_options,
)
from cm4storage.storage.store import RETRY_LIMIT_S

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cm4storage.storage.objects.client import ObjectClient
    from cm4storage.storage.objects.service import HasCredentials

DEFAULT_CLIENT: Final = "obstore"
CLIENTS: Final = (DEFAULT_CLIENT, "azure-storage-blob")

_WORDS: Final = Words(
    container="container",
    credentials="AZURE_STORAGE_ACCOUNT, AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN",
    extra="azure",
)
_PUBLIC_SUFFIX: Final = "core.windows.net"
# The account, key and address that every emulator of Azure knows; Microsoft publishes them.
_EMULATOR: Final = {
    "accountname": "devstoreaccount1",
    "accountkey": "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",  # noqa: E501
    "blobendpoint": "http://127.0.0.1:10000/devstoreaccount1",
}
_ACCOUNT_NAMES: Final = ("AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT_NAME")
_KEY_NAMES: Final = (
    "AZURE_STORAGE_KEY",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_ACCESS_KEY",
)
_SAS_NAMES: Final = ("AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY")
_ENDPOINT_NAMES: Final = ("AZURE_STORAGE_ENDPOINT", "AZURE_STORAGE_SERVICE_ENDPOINT")
# With one of these obstore finds credentials by itself: of a principal, a workload, a machine.
_OTHER_SOURCES: Final = (
    "AZURE_CLIENT_ID",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_STORAGE_TOKEN",
    "AZURE_MSI_ENDPOINT",
    "AZURE_IDENTITY_ENDPOINT",
    "AZURE_USE_AZURE_CLI",
    "AZURE_SKIP_SIGNATURE",
)


@dataclass(frozen=True)
class AzureService:
    """An account of Azure's blob storage and the credentials for it.

    Attributes
    ----------
    endpoint_url : str
        ``https://account.blob.core.windows.net``, or with the account as its path.
    account : str
        The account's name.
    key : str or None
        The account's key, base64.
    sas_token : str or None
        A shared access signature, as the query of a URL; takes part where there is no key.
    client_name : str
        One of `CLIENTS`; empty for the default one.
    """

    endpoint_url: str
    account: str
    key: str | None = field(default=None, repr=False)
    sas_token: str | None = field(default=None, repr=False)
    client_name: str = ""

    def __post_init__(self) -> None:
        _check_name(self.client_name)

    @property
    def scheme(self) -> str:
        """The scheme of its locations."""
        return "az"

    @property
    def words(self) -> Words:
        """How it calls its things."""
        return _WORDS

    @property
    def name(self) -> str:
        """How messages call the service."""
        return self.endpoint_url

    @property
    def is_loopback(self) -> bool:
        """Tell whether the service runs on this machine."""
        return is_loopback(self.endpoint_url)

    @property
    def lists_in_key_order(self) -> bool:
        """Tell whether listings are surely in the order of keys.

        They are not: an account with a hierarchical namespace walks a tree, and does not say so.
        """
        return False

    def client(
        self,
        container: str,
        prefix: str,
        retry_limit_s: float = RETRY_LIMIT_S,
        is_in_vain: Callable[[], bool] = never,
    ) -> ObjectClient:
        """Return a client for the objects below `prefix` in `container`."""
        if self.client_name == "azure-storage-blob":
            from cm4storage.storage.objects.azure_client import AzureSdkClient

            return AzureSdkClient(self, container, prefix, Retrier(retry_limit_s, is_in_vain))
        from cm4storage.storage.objects.obstore_client import ObstoreClient

        def make_store(retry_config: Any) -> Any:
            from obstore.store import AzureStore

            return AzureStore(
                container,
                prefix=prefix or None,
                config=self._config(),
                client_options=obstore_client_options(self.endpoint_url),
                retry_config=retry_config,
                credential_provider=self._provider(),
            )

        return ObstoreClient(make_store, retry_limit_s)

    def redacted(self, text: str) -> str:
        """Return `text` with every secret of this service replaced by ``***``."""
        signatures = [value for name, value in parse_qsl(self.sas_token or "") if name == "sig"]
        for secret in (self.key, self.sas_token, *_written_signatures(self.sas_token), *signatures):
            text = text.replace(secret, "***") if secret else text
        return text

    def _config(self) -> Any:
        config: dict[str, Any] = {
            "account_name": self.account,
            "endpoint": self.endpoint_url,
            "use_emulator": False,
            "use_fabric_endpoint": False,
        }
        if self.key or self.sas_token:
            config["skip_signature"] = False
        return config

    def _provider(self) -> Any:
        """Give known credentials by a call, so that none of the environment are mixed in."""
        if self.key:
            credentials = {"access_key": self.key, "expires_at": None}
        elif self.sas_token:
            credentials = {"sas_token": self.sas_token, "expires_at": None}
        else:
            return None
        return lambda: credentials


def check_client(name: str) -> None:
    """Check that there is a client of this name, and its library; an empty one is the default's.

    Raises
    ------
    UserError
        If there is no such client of Azure, or it is not installed.
    """
    _check_name(name)
    if name == "azure-storage-blob":
        from cm4storage.storage.objects.azure_client import import_library

        import_library()


def _check_name(name: str) -> None:
    if name and name not in CLIENTS:
        raise UserError(
            f"unknown client for az://: {name}",
            advice=f"use one of {', '.join(CLIENTS)}",
        )


def from_environment(
    endpoint_url: str | None,
    environment: Mapping[str, str] | None = None,
    client_name: str = "",
) -> AzureService:
    """Return the account that the endpoint and the ``AZURE_STORAGE_*`` variables name.

    A connection string comes before the single variables, and an endpoint that was given before
    that of the environment.

    Raises
    ------
    UserError
        If the account or the credentials are missing, or a part is malformed.
    """
    known = os.environ if environment is None else environment
    parts = _parts_of(known.get("AZURE_STORAGE_CONNECTION_STRING", ""))
    account = parts.get("accountname") or _first(known, _ACCOUNT_NAMES)
    endpoint = endpoint_url or _endpoint_of(parts) or _first(known, _ENDPOINT_NAMES)
    if endpoint:
        check_endpoint(endpoint)
        account = account_of(endpoint) or account
    if not account:
        raise UserError(
            "the account of the Azure service is missing",
            where=endpoint,
            meaning="neither the endpoint nor AZURE_STORAGE_ACCOUNT names it",
            advice="export AZURE_STORAGE_ACCOUNT, or AZURE_STORAGE_CONNECTION_STRING",
        )
    endpoint = _with_account(endpoint or f"https://{account}.blob.{_PUBLIC_SUFFIX}", account)
    key = parts.get("accountkey") or ("" if parts else _first(known, _KEY_NAMES))
    sas = parts.get("sharedaccesssignature") or ("" if parts else _first(known, _SAS_NAMES))
    _check_credentials(endpoint, key, sas, client_name, known)
    return AzureService(endpoint, account, key or None, sas.lstrip("?") or None, client_name)


def of_embedded(server: HasCredentials, client_name: str = "") -> AzureService:
    """Return the service of an embedded server."""
    return AzureService(
        server.endpoint_url, server.access_key_id, server.secret_access_key, None, client_name
    )


def account_of(endpoint_url: str) -> str:
    """Return the account that an endpoint names, by its path or its host; empty if none."""
    path = urlsplit(endpoint_url).path.strip("/")
    if path:
        return path.partition("/")[0]
    name, dot, rest = host_of(endpoint_url).partition(".")
    return name if dot and ".blob." in f".{rest}" else ""


def _with_account(endpoint_url: str, account: str) -> str:
    """Return an endpoint that names the account: a host that is an address has it as its path."""
    endpoint_url = endpoint_url.rstrip("/")
    if urlsplit(endpoint_url).path or not _is_address(host_of(endpoint_url)):
        return endpoint_url
    return f"{endpoint_url}/{account}"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return True


def _parts_of(connection_string: str) -> dict[str, str]:
    """Read a connection string: ``Name=value`` between semicolons, names in any case."""
    pairs = [part.partition("=") for part in connection_string.split(";") if part.strip()]
    parts = {name.strip().lower(): value.strip() for name, _, value in pairs}
    if parts.get("usedevelopmentstorage", "").lower() == "true":
        return _EMULATOR
    if parts and not (parts.get("accountname") or parts.get("blobendpoint")):
        raise UserError(
            "malformed AZURE_STORAGE_CONNECTION_STRING",
            meaning="it names neither an AccountName nor a BlobEndpoint",
            advice="copy it again from the portal, or from: az storage account "
            "show-connection-string",
        )
    return parts


def _endpoint_of(parts: Mapping[str, str]) -> str:
    if parts.get("blobendpoint") or not parts.get("accountname"):
        return parts.get("blobendpoint", "")
    protocol = parts.get("defaultendpointsprotocol", "https")
    suffix = parts.get("endpointsuffix", _PUBLIC_SUFFIX)
    return f"{protocol}://{parts['accountname']}.blob.{suffix}"


def _check_credentials(
    endpoint: str, key: str, sas: str, client_name: str, known: Mapping[str, str]
) -> None:
    if key:
        try:
            base64.b64decode(key, validate=True)
        except binascii.Error as error:
            raise UserError(
                "the key of the Azure account is malformed",
                where=endpoint,
                meaning="it is not base64",
                advice="copy it again from the portal, with the = at its end",
            ) from error
    elif sas:
        return
    elif client_name not in ("", DEFAULT_CLIENT) or not _first(known, _OTHER_SOURCES):
        raise UserError(
            "no credentials for the Azure service",
            where=endpoint,
            meaning="neither AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN nor "
            "AZURE_STORAGE_CONNECTION_STRING is set",
            advice="export one of them; with the client obstore AZURE_SKIP_SIGNATURE=true will do "
            "for a public container, and AZURE_CLIENT_ID with what belongs to it for a principal",
        )


def _written_signatures(sas_token: str | None) -> list[str]:
    """Return the signature as it is written in the token, with its percent signs."""
    parts = (part.partition("=") for part in (sas_token or "").split("&"))
    return [value for name, _, value in parts if name == "sig"]


def _first(known: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((known[name] for name in names if known.get(name)), "")

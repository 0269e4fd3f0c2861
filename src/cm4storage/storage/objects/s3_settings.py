"""Settings of S3 from the standard places: ``AWS_*`` variables, profiles and shared files."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cm4storage.core.errors import UserError
from cm4storage.storage.location import check_endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DEFAULT_REGION: Final = "us-east-1"

_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_OWN_SOURCES: Final = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
"""Where the libraries get credentials by themselves, and new ones before those expire."""


@dataclass(frozen=True)
class Keys:
    """Credentials.

    Attributes
    ----------
    access_key_id, secret_access_key : str
        A pair.
    session_token : str or None
        What makes them temporary.
    """

    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class S3Settings:
    """What the standard places say of S3.

    Attributes
    ----------
    endpoint_url : str or None
        None for Amazon's own.
    region : str
        The region that requests are signed for.
    key_source : callable or None
        Returns the credentials of this moment. None: the client finds them itself, or `anonymous`.
    anonymous : bool
        Requests are not signed.
    virtual_hosts : bool
        The bucket is part of the host's name, not of the path.
    ca_bundle : str
        A file with the authorities that sign the service's certificate; empty for the system's.
    """

    endpoint_url: str | None = None
    region: str = DEFAULT_REGION
    key_source: Callable[[], Keys] | None = None
    anonymous: bool = False
    virtual_hosts: bool = False
    ca_bundle: str = ""


def read(endpoint_url: str | None, environment: Mapping[str, str] | None = None) -> S3Settings:
    """Return the settings; what is written in variables prevails over files, as everywhere on AWS.

    Parameters
    ----------
    endpoint_url : str or None
        The endpoint that the user named, before all others.
    environment : mapping, optional
        In place of the process's environment and of the shared files.

    Raises
    ------
    UserError
        If a setting is malformed, the profile is unknown, or a service other than Amazon's has no
        credentials.
    """
    known = os.environ if environment is None else environment
    files = None if environment is not None else _shared_files(known)
    endpoint = endpoint_url or _configured_endpoint(known, files)
    if endpoint:
        check_endpoint(endpoint)
        endpoint = endpoint.rstrip("/")
    anonymous = _is_true(known.get("AWS_SKIP_SIGNATURE"))
    source = None if anonymous else _key_source(known, files)
    if endpoint and source is None and not anonymous:
        _require_own_source(endpoint, known)
    return S3Settings(
        endpoint_url=endpoint or None,
        region=known.get("AWS_REGION")
        or known.get("AWS_DEFAULT_REGION")
        or (files.text("region") if files else "")
        or DEFAULT_REGION,
        key_source=source,
        anonymous=anonymous,
        virtual_hosts=_has_virtual_hosts(known, files),
        ca_bundle=_ca_bundle(known, files),
    )


def _configured_endpoint(known: Mapping[str, str], files: SharedFiles | None) -> str:
    if _is_true(known.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")):
        return ""
    named = known.get("AWS_ENDPOINT_URL_S3") or known.get("AWS_ENDPOINT_URL")
    return named or (files.endpoint_url() if files else "")


def _key_source(known: Mapping[str, str], files: SharedFiles | None) -> Callable[[], Keys] | None:
    key, secret = known.get("AWS_ACCESS_KEY_ID"), known.get("AWS_SECRET_ACCESS_KEY")
    if bool(key) != bool(secret):
        raise UserError(
            "half of the credentials for S3 is missing",
            where="AWS_SECRET_ACCESS_KEY" if key else "AWS_ACCESS_KEY_ID",
            meaning="one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set, the other is not",
            advice="export both",
        )
    if key and secret:
        keys = Keys(key, secret, known.get("AWS_SESSION_TOKEN") or None)
        return lambda: keys
    return files.key_source() if files else None


def _require_own_source(endpoint: str, known: Mapping[str, str]) -> None:
    if any(known.get(name) for name in _OWN_SOURCES):
        return
    raise UserError(
        "no credentials for the S3 service",
        where=endpoint,
        meaning="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set, and no profile has any",
        advice="export both, or AWS_PROFILE, or AWS_SKIP_SIGNATURE=true for a public bucket",
    )


def _has_virtual_hosts(known: Mapping[str, str], files: SharedFiles | None) -> bool:
    named = known.get("AWS_VIRTUAL_HOSTED_STYLE_REQUEST")
    if named:
        return _is_true(named)
    return files is not None and files.addressing_style() == "virtual"


def _ca_bundle(known: Mapping[str, str], files: SharedFiles | None) -> str:
    path = known.get("AWS_CA_BUNDLE") or (files.text("ca_bundle") if files else "")
    if path and not Path(path).is_file():
        raise UserError(
            "the file with the certificate authorities does not exist",
            where=path,
            meaning="AWS_CA_BUNDLE, or ca_bundle of the profile, names it",
            advice="correct the name, or unset it",
        )
    return path


def _is_true(text: str | None) -> bool:
    return (text or "").strip().lower() in _TRUE


def _shared_files(known: Mapping[str, str]) -> SharedFiles | None:
    """Return the shared files, or None where there are none: botocore takes long to import."""
    config = known.get("AWS_CONFIG_FILE") or "~/.aws/config"
    credentials = known.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials"
    profile = known.get("AWS_DEFAULT_PROFILE") or known.get("AWS_PROFILE") or ""
    if profile or any(Path(path).expanduser().is_file() for path in (config, credentials)):
        return SharedFiles(profile)
    return None


class SharedFiles:
    """``~/.aws/config`` and ``~/.aws/credentials``, or where variables say they are.

    Read by botocore, whose rules are the standard: profiles, roles, processes and single sign-on.

    Parameters
    ----------
    profile : str
        How messages call the profile; empty for the default one.
    """

    def __init__(self, profile: str) -> None:
        self._profile = profile or "default"
        try:
            from botocore.session import Session
        except ImportError as error:
            raise UserError(
                "the shared files of AWS cannot be read",
                where=f"profile {self._profile}",
                meaning=f"the package botocore cannot be imported: {error}",
                advice="pip install 'cm4storage[s3]'",
            ) from error
        self._session: Any = Session()
        self._scoped: dict[str, Any] = self._ask(self._session.get_scoped_config)

    def text(self, name: str) -> str:
        """Return one setting of the profile, empty where it is not set."""
        found = self._scoped.get(name)
        return found if isinstance(found, str) else ""

    def addressing_style(self) -> str:
        """Return ``s3.addressing_style`` of the profile."""
        section = self._scoped.get("s3")
        return str(section.get("addressing_style", "")) if isinstance(section, dict) else ""

    def endpoint_url(self) -> str:
        """Return the endpoint of the profile, one for S3 alone before one for all services."""
        from botocore.configprovider import ConfiguredEndpointProvider

        if _is_true(self.text("ignore_configured_endpoint_urls")):
            return ""
        provider = ConfiguredEndpointProvider(
            full_config=self._session.full_config,
            scoped_config=self._scoped,
            client_name="s3",
            environ={},
        )
        return self._ask(provider.provide) or ""

    def key_source(self) -> Callable[[], Keys] | None:
        """Return what gives the profile's credentials, renewed when they expire; None without."""
        resolver = self._session.get_component("credential_provider")
        # The service of a cloud's machines answers slowly elsewhere; the clients ask it at need.
        resolver.remove("iam-role")
        credentials = self._ask(resolver.load_credentials)
        if credentials is None:
            return None

        def keys() -> Keys:
            frozen = self._ask(credentials.get_frozen_credentials)
            return Keys(frozen.access_key, frozen.secret_key, frozen.token or None)

        keys()
        return keys

    def _ask(self, question: Callable[[], Any]) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return question()
        except (BotoCoreError, ClientError) as error:
            raise UserError(
                "the credentials or settings of AWS cannot be used",
                where=f"profile {self._profile}",
                meaning=str(error)[:300],
                advice="check AWS_PROFILE, ~/.aws/config and ~/.aws/credentials",
            ) from error

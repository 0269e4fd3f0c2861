"""Where a store is, as users write it: a path, ``file://``, ``directio://``, ``s3://`` or ``az://``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote, urlsplit

from cm4storage.core.errors import UserError, redact_url
from cm4storage.storage.keys import check_key

if TYPE_CHECKING:
    from cm4storage.storage.operation import OperationLog

SCHEMES: Final = ("file", "directio", "s3", "az")
_ALIASES: Final = {"direct": "directio"}
_FOLDERS: Final = ("file", "directio")
# The bucket that every embedded S3 server has, and the container of every Azure server.
EMBEDDED_BUCKET: Final = "cm4storage"

_SCHEME = re.compile(r"\A([A-Za-z][A-Za-z0-9+.-]*)://")
_SCHEME_AS_FOLDER = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")


@dataclass(frozen=True)
class StoreLocation:
    """The root of a store. Make it with `parse`, which checks what users write.

    Attributes
    ----------
    uri : str
        ``file:///absolute/folder`` or ``directio:///absolute/folder`` (percent-encoded),
        ``s3://bucket/prefix`` or ``az://container/prefix`` (literal).
    endpoint_url : str or None
        The object service. None: the standard environment of its world, or `server_dir`.
    server_dir : Path or None
        The data folder of an embedded server, which is started when nobody runs it.
    client : str
        The library that sends the requests; empty for the default one.
    log : OperationLog or None
        Who wants to know of all operations there.
    """

    uri: str
    endpoint_url: str | None = None
    server_dir: Path | None = None
    client: str = ""
    log: OperationLog | None = field(default=None, repr=False, compare=False)

    @classmethod
    def parse(
        cls,
        text: str,
        *,
        endpoint_url: str | None = None,
        server_dir: Path | None = None,
        client: str = "",
        relative_to: Path | None = None,
    ) -> StoreLocation:
        """Return the location that a user wrote as a path or URI.

        Parameters
        ----------
        text : str
            A path, or a URI with one of `SCHEMES`; ``direct://`` is ``directio://``.
        endpoint_url : str, optional
            ``http://host:port`` or ``https://host`` of an object service; Azure's may have the
            account as a path.
        server_dir : Path, optional
            The data folder of an embedded server; excludes `endpoint_url`.
        client : str, optional
            The library that sends the requests to an object service.
        relative_to : Path, optional
            The folder that relative paths start from; default the current one.

        Raises
        ------
        UserError
            If the scheme is unknown or a part is missing, malformed or contradictory.
        """
        found = _SCHEME.match(text)
        written = found.group(1).lower() if found else "file"
        scheme = _ALIASES.get(written, written)
        if scheme not in SCHEMES:
            raise _unknown_scheme(text, written)
        if scheme not in _FOLDERS:
            _check_service(text, endpoint_url, server_dir)
            rest = text[len(f"{written}://") :]
            return cls(_object_uri(scheme, rest), endpoint_url or None, server_dir, client)
        _check_folder(text, endpoint_url, server_dir, client)
        path = _path_of_uri(text) if found else text
        return cls(f"{scheme}://{_quoted_path(path, relative_to or Path.cwd())}")

    @property
    def scheme(self) -> str:
        """One of `SCHEMES`."""
        return self.uri.partition("://")[0]

    @property
    def is_folder(self) -> bool:
        """Tell whether this is a folder of the local file system."""
        return self.scheme in _FOLDERS

    @property
    def local_folder(self) -> Path | None:
        """The folder of this machine that the data are in, an embedded server's also."""
        return self.path if self.is_folder else self.server_dir

    @property
    def path(self) -> Path:
        """The folder, where `is_folder`."""
        self._require(*_FOLDERS)
        return Path(unquote(self.uri.partition("://")[2]))

    @property
    def bucket(self) -> str:
        """The bucket or container, where not `is_folder`."""
        self._require("s3", "az")
        return self.uri.partition("://")[2].partition("/")[0]

    @property
    def prefix(self) -> str:
        """What stands before every key of an object; empty or without a final ``/``."""
        self._require("s3", "az")
        return self.uri.partition("://")[2].partition("/")[2]

    def child(self, key: str) -> StoreLocation:
        """Return the location of the objects below `key`, such as ``unet3d-ab12``.

        Raises
        ------
        InvalidKey
            If `key` is not a relative name.
        """
        check_key(key, self.uri)
        name = quote(key) if self.is_folder else key
        return replace(self, uri=f"{self.uri.rstrip('/')}/{name}")

    def _require(self, *schemes: str) -> None:
        if self.scheme not in schemes:
            raise ValueError(f"not a {' or '.join(schemes)} location: {self.uri}")


def _unknown_scheme(text: str, scheme: str) -> UserError:
    known = ", ".join(f"{name}://" for name in SCHEMES)
    return UserError(
        f"unknown storage scheme {scheme}://",
        where=redact_url(text),
        advice=f"use a path or one of {known}",
    )


def _check_folder(
    text: str, endpoint_url: str | None, server_dir: Path | None, client: str
) -> None:
    given = {"endpoint": endpoint_url, "embedded server": server_dir, "client": client}
    needless = " and the ".join(name for name, value in given.items() if value)
    if needless:
        raise UserError(
            "a folder needs no object service",
            where=redact_url(text),
            advice=f"leave the {needless} out, or give a location such as s3://bucket/prefix",
        )


def _object_uri(scheme: str, text: str) -> str:
    bucket, _, prefix = text.partition("/")
    prefix = prefix.rstrip("/")
    what = "bucket" if scheme == "s3" else "container"
    if not bucket:
        raise UserError(
            f"the {what} is missing",
            where=f"{scheme}://{text}",
            advice=f"write {scheme}://{what}/prefix",
        )
    if not _BUCKET.fullmatch(bucket):
        raise UserError(
            f"{redact_url('s3://' + bucket)[5:]!r} cannot be a {what}'s name",
            where=redact_url(f"{scheme}://{text}"),
            advice="use letters, digits, dots and dashes; the service goes into the endpoint",
        )
    if prefix:
        check_key(prefix, f"{scheme}://{bucket}")
    return f"{scheme}://{bucket}/{prefix}".rstrip("/")


def _path_of_uri(text: str) -> str:
    scheme, _, place = text.partition("://")
    host, slash, rest = place.partition("/")
    if host not in ("", "localhost"):
        raise UserError(
            f"a {scheme.lower()} URI cannot name another host: {host}",
            where=text,
            advice=f"write {scheme.lower()}:///folder, with three slashes",
        )
    return unquote(slash + rest)


def _quoted_path(path: str, base: Path) -> str:
    if not path:
        raise UserError("the folder's name is empty", advice="give a path such as /data or ./data")
    if "\0" in path:
        raise UserError("a path cannot hold a zero byte", where=repr(path))
    try:
        absolute = (base / Path(path).expanduser()).resolve()
    except (RuntimeError, OSError) as error:
        raise UserError(f"cannot resolve the path: {error}", where=path) from error
    return quote(str(absolute))


def _check_service(text: str, endpoint_url: str | None, server_dir: Path | None) -> None:
    if endpoint_url and server_dir:
        raise UserError(
            "a location has an endpoint or an embedded server, not both",
            where=redact_url(f"{text}, {endpoint_url}, {server_dir}"),
        )
    if server_dir is not None:
        check_server_dir(server_dir)
    if endpoint_url:
        check_endpoint(endpoint_url)


def check_server_dir(server_dir: Path) -> None:
    """Refuse a folder for an embedded server that is relative, or a URI taken for a path.

    Raises
    ------
    UserError
        Since the data would land wherever the process happens to work.
    """
    # A Path has one slash where the URI had two, and may have been made absolute.
    if any(_SCHEME_AS_FOLDER.fullmatch(part) for part in server_dir.parts):
        raise UserError(
            "the embedded server's folder is a path, not a URI",
            where=redact_url(str(server_dir)),
            advice="give an absolute path such as /data/s3",
        )
    if not server_dir.is_absolute():
        raise UserError(
            "the embedded server's folder must be absolute",
            where=str(server_dir),
            advice="give an absolute path such as /data/s3",
        )


def check_endpoint(endpoint_url: str) -> None:
    """Refuse an endpoint that is not ``http(s)://host[:port]`` or that holds credentials.

    Raises
    ------
    UserError
        With the part that is wrong.
    """
    advice = "write http://host:port or https://host"
    shown = redact_url(endpoint_url)
    try:
        parts = urlsplit(endpoint_url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UserError(f"malformed endpoint: {error}", where=shown, advice=advice) from error
    if parts.scheme not in ("http", "https") or not host:
        raise UserError("malformed endpoint", where=shown, advice=advice)
    if parts.username is not None:
        raise UserError(
            "an endpoint must not hold credentials",
            where=shown,
            advice="put them into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or on Azure into "
            "AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY",
        )
    if parts.query or parts.fragment:
        raise UserError("an endpoint has no query or fragment", where=shown, advice=advice)

"""Signed requests to Azure's blob service with the standard library, where no client is needed.

The signature is that of "Authorize with Shared Key" in Microsoft's REST reference of Azure Storage.
"""

from __future__ import annotations

import base64
import datetime
import hmac
import http.client
from email.utils import format_datetime
from typing import Final
from urllib.parse import quote, urlsplit

_VERSION: Final = "2021-12-02"
# Content-Encoding to Range: the headers that are signed by their place, all of them empty here.
_NO_STANDARD_HEADERS: Final = "\n" * 11


def request(
    method: str,
    endpoint_url: str,
    container: str,
    account: str,
    key: str,
    *,
    query: dict[str, str],
    timeout_s: float = 10.0,
) -> int:
    """Send a request without a body to a container, past any proxy; return the answer's status.

    Parameters
    ----------
    endpoint_url : str
        With the account as its path: ``http://127.0.0.1:10000/account``.
    key : str
        The account's key, base64 as Azure writes it.
    query : dict of str to str
        What follows the path, with names in lower case.

    Raises
    ------
    OSError
        If the service cannot be reached or does not speak HTTP.
    """
    parts = urlsplit(endpoint_url)
    path = f"{parts.path}/{quote(container)}"
    headers = _signed_headers(method, path, query, account, key)
    connection = http.client.HTTPConnection(parts.netloc, timeout=timeout_s)
    try:
        words = "&".join(f"{name}={quote(value)}" for name, value in query.items())
        connection.request(method, f"{path}?{words}", headers=headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    except http.client.HTTPException as error:
        raise OSError(f"the service does not speak HTTP: {error!r}") from error
    finally:
        connection.close()


def _signed_headers(
    method: str, path: str, query: dict[str, str], account: str, key: str
) -> dict[str, str]:
    now = format_datetime(datetime.datetime.now(datetime.timezone.utc), usegmt=True)
    headers = {"x-ms-date": now, "x-ms-version": _VERSION}
    named = "".join(f"{name}:{value}\n" for name, value in sorted(headers.items()))
    words = "".join(f"\n{name}:{value}" for name, value in sorted(query.items()))
    text = f"{method}\n{_NO_STANDARD_HEADERS}{named}/{account}{path}{words}"
    digest = hmac.digest(base64.b64decode(key), text.encode(), "sha256")
    return headers | {"Authorization": f"SharedKey {account}:{base64.b64encode(digest).decode()}"}

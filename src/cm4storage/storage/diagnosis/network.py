"""Probes of the way to an object service, by plain sockets: name, connection, TLS, HTTP, clock."""

from __future__ import annotations

import email.utils
import http.client
import os
import socket
import ssl
import time
from typing import TYPE_CHECKING, Final

from cm4storage.core.errors import StorageFault
from cm4storage.core.units import format_seconds
from cm4storage.storage.diagnosis.findings import NotTried, Observation, Probe
from cm4storage.storage.diagnosis.services import Endpoint, endpoint_url_of
from cm4storage.storage.location import check_endpoint

if TYPE_CHECKING:
    from cm4storage.storage.diagnosis.bench import Bench

_LIMIT_S: Final = 5.0
# S3 and Azure refuse what is signed with a clock that is 15 minutes off; tokens end to the second.
_MOST_SKEW_S: Final = 60.0


def _resolve(bench: Bench) -> Observation:
    service = bench.access.service if bench.access else None
    url = endpoint_url_of(bench.location, service=service)
    if not url:
        raise StorageFault(
            "no endpoint is known",
            where=bench.location.uri,
            advice="give --endpoint_url=URL, or set the account's name",
        )
    check_endpoint(url)
    bench.endpoint = endpoint = Endpoint.of(url)
    host, port = endpoint.next_hop
    via = f", the proxy on the way to {endpoint.host}" if endpoint.proxy else ""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise StorageFault(
            f"the name {host} cannot be resolved: {error.strerror}",
            where=endpoint.url,
            meaning="it is misspelled, or the name server of this machine does not know it",
            advice=f"check the endpoint, and try: getent hosts {host}",
        ) from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    text = host if addresses == [host] else f"{host} is {', '.join(addresses[:3])}"
    return Observation(f"{text}{via}", {"addresses": addresses, "endpoint_url": endpoint.url})


def _connect(bench: Bench) -> Observation:
    host, port = _endpoint(bench).next_hop
    try:
        with socket.create_connection((host, port), _LIMIT_S) as link:
            peer = link.getpeername()
    except OSError as error:
        raise _no_connection(error, f"{host}:{port}") from error
    return Observation(f"{peer[0]} port {port}")


def _no_connection(error: OSError, where: str) -> StorageFault:
    if isinstance(error, ConnectionRefusedError):
        return StorageFault(
            "the connection was refused",
            where=where,
            meaning="the machine is there, but nothing listens on this port",
            advice="check the port, and that the service runs",
        )
    if isinstance(error, TimeoutError):
        return StorageFault(
            f"no connection within {_LIMIT_S:.0f} s",
            where=where,
            meaning="a firewall drops the packets, or the machine is off",
            advice="check the address, routes and firewalls between here and there",
        )
    return StorageFault(
        f"cannot connect: {error.strerror or error}",
        where=where,
        meaning="there is no way from this machine to that address",
        advice="check the address and the routes: ip route get ADDRESS",
    )


def _shake_hands(bench: Bench) -> Observation:
    endpoint = _endpoint(bench)
    if not endpoint.is_tls:
        raise NotTried("the endpoint is http")
    if endpoint.proxy:
        raise NotTried("a proxy stands between")
    context = trust_of(bench)
    try:
        with (
            socket.create_connection((endpoint.host, endpoint.port), _LIMIT_S) as link,
            context.wrap_socket(link, server_hostname=endpoint.host) as secure,
        ):
            version, certificate = secure.version(), secure.getpeercert() or {}
    except ssl.SSLCertVerificationError as error:
        raise StorageFault(
            f"the certificate is not accepted: {error.verify_message}",
            where=endpoint.url,
            meaning="it is self-signed, expired, for another name, or of an unknown authority",
            advice="let SSL_CERT_FILE name the authority's certificate, or mend the service's",
        ) from error
    except (ssl.SSLError, OSError) as error:
        raise StorageFault(
            f"no TLS handshake: {error.strerror or error}",
            where=endpoint.url,
            meaning="the service speaks plain http on this port, or only old versions of TLS",
            advice="try the endpoint with http://, or look at the service's settings",
        ) from error
    until = certificate.get("notAfter", "")
    return Observation(f"{version}, certificate valid until {until}", {"version": version})


def _speak_http(bench: Bench) -> Observation:
    endpoint = _endpoint(bench)
    connection = _connection(endpoint)
    begin_s = time.time()
    try:
        connection.request("GET", _target(endpoint), headers=_headers(endpoint))
        answer = connection.getresponse()
        answer.read(65536)
    except TimeoutError as error:
        raise StorageFault(
            f"it takes connections, and does not answer within {_LIMIT_S:.0f} s",
            where=endpoint.url,
            meaning="the service hangs, or something that is no object service listens there",
            advice="check the port, and the service's log",
        ) from error
    except ssl.SSLError as error:
        raise NotTried("needs: TLS") from error
    except (OSError, http.client.HTTPException) as error:
        raise StorageFault(
            f"it does not speak HTTP: {error or type(error).__name__}",
            where=endpoint.url,
            meaning="another service listens there, or one that wants https",
            advice="check the port, and http:// against https://",
        ) from error
    finally:
        connection.close()
    _keep_date(bench, answer, begin_s)
    server = answer.getheader("Server", "")
    text = f"HTTP {answer.status}{f' from {server}' if server else ''}"
    return Observation(text, {"http_status": answer.status, "server": server})


def _keep_date(bench: Bench, answer: http.client.HTTPResponse, begin_s: float) -> None:
    try:
        theirs = email.utils.parsedate_to_datetime(answer.getheader("Date", "")).timestamp()
    except (TypeError, ValueError):
        return
    # A Date is cut to whole seconds, and was made somewhere between the request and its answer.
    bench.http_date = (theirs + 0.5, (begin_s + time.time()) / 2)


def _connection(endpoint: Endpoint) -> http.client.HTTPConnection:
    host, port = endpoint.next_hop
    if not endpoint.is_tls:
        return http.client.HTTPConnection(host, port, timeout=_LIMIT_S)
    # Whether the certificate is good is the question of another probe; nothing secret is sent.
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    secure = http.client.HTTPSConnection(host, port, timeout=_LIMIT_S, context=context)
    if endpoint.proxy:
        secure.set_tunnel(endpoint.host, endpoint.port, endpoint.proxy_headers)
    return secure


def _target(endpoint: Endpoint) -> str:
    return f"{endpoint.url}/" if endpoint.proxy and not endpoint.is_tls else "/"


def _headers(endpoint: Endpoint) -> dict[str, str]:
    """Return what a proxy wants to know; in a tunnel the service would read it."""
    return {} if endpoint.is_tls else endpoint.proxy_headers


def _compare_clocks(bench: Bench) -> Observation:
    if bench.http_date is None:
        raise NotTried("the service does not tell its time")
    theirs, ours = bench.http_date
    skew_s = round(theirs - ours, 1)
    if abs(skew_s) > _MOST_SKEW_S:
        direction = "behind" if skew_s < 0 else "ahead of"
        raise StorageFault(
            f"the service's clock is {_duration(abs(skew_s))} {direction} this machine's",
            where=_endpoint(bench).url,
            meaning="requests are signed with the time; from 15 minutes on they are refused, "
            "and temporary credentials end too early or too late",
            advice="let chronyd or systemd-timesyncd set both clocks: timedatectl",
        )
    text = "less than a second apart" if abs(skew_s) < 1 else f"{skew_s:+.1f} s apart"
    return Observation(text, {"skew_s": skew_s})


def _duration(seconds: float) -> str:
    days = seconds / 86400
    return f"{days:,.0f} days" if days >= 2 else format_seconds(seconds)


def trust_of(bench: Bench) -> ssl.SSLContext:
    """Return whom to trust over TLS: the authorities of the system, and those of the settings."""
    context = ssl.create_default_context()
    is_s3 = bench.location.scheme == "s3"
    unopened = os.environ.get("AWS_CA_BUNDLE", "") if is_s3 else ""
    bundle = getattr(bench.access.service, "ca_bundle", "") if bench.access else unopened
    if bundle:
        try:
            context.load_verify_locations(bundle)
        except OSError as error:
            raise StorageFault(
                f"the certificate authorities cannot be used: {error.strerror or error}",
                where=bundle,
                meaning="AWS_CA_BUNDLE, or ca_bundle of the profile, names this file",
                advice="let it name certificates in PEM form",
            ) from error
    return context


def _endpoint(bench: Bench) -> Endpoint:
    if bench.endpoint is None:
        raise NotTried("no endpoint is known")
    return bench.endpoint


PROBES: Final = (
    Probe("name", _resolve),
    Probe("connection", _connect, ("name",)),
    Probe("TLS", _shake_hands, ("connection",)),
    Probe("HTTP", _speak_http, ("connection",)),
    Probe("clock", _compare_clocks, ("HTTP",)),
)

"""TLS in front of a plain server, with a certificate made for the occasion."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import socket
import ssl
import threading
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from listening import Listener

if TYPE_CHECKING:
    from pathlib import Path


class TlsFront(Listener):
    """Passes on what comes over TLS, unchanged, to a server on loopback.

    Parameters
    ----------
    folder : Path
        Where the authority's certificate goes, as ``ca.pem``.
    port : int
        The server's port.
    """

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__()
        self.ca_file = folder / "ca.pem"
        chain = folder / "chain.pem"
        _write_certificates(self.ca_file, chain)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(chain)
        self._server = ("127.0.0.1", port)
        self.url = f"https://127.0.0.1:{self.port}"

    def meet(self, link: socket.socket) -> None:
        threading.Thread(target=self._pass_on, args=[link], daemon=True).start()

    def _pass_on(self, link: socket.socket) -> None:
        with (
            contextlib.suppress(OSError),
            link,
            self._context.wrap_socket(link, server_side=True) as outside,
            socket.create_connection(self._server) as inside,
        ):
            back = threading.Thread(target=_copy, args=[inside, outside], daemon=True)
            back.start()
            _copy(outside, inside)
            back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for each in (source, target):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


def _write_certificates(ca_file: Path, chain: Path) -> None:
    """Make an authority, and the certificate of 127.0.0.1 that it signs."""
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_name, name = (
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in ("test CA", "server")
    )
    ca = (
        _unsigned(ca_name, ca_name, ca_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    host = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    own = (
        _unsigned(name, ca_name, key)
        .add_extension(x509.SubjectAlternativeName([host]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    ca_file.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    chain.write_bytes(own.public_bytes(serialization.Encoding.PEM) + private)


def _unsigned(
    name: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
    )

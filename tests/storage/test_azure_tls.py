"""Azure over https: whom both clients trust."""

from __future__ import annotations

import datetime
import ipaddress
import os
import signal
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest
from azure_uses import SOME_KEY, free_port, opened
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from server_processes import wait_until

from cm4storage.core.errors import StorageFault
from cm4storage.storage.embedded.azurite_install import ensure_azurite, find_azurite, find_node
from cm4storage.storage.objects.azure_service import CLIENTS, AzureService

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def make_certificate(folder: Path) -> None:
    """Write an authority that signs itself, for 127.0.0.1 alone, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cm4storage test")])
    now = datetime.datetime.now(datetime.timezone.utc)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Run Azurite over https; give its endpoint and the certificate that it shows."""
    folder = tmp_path_factory.mktemp("https")
    make_certificate(folder)
    ensure_azurite()
    port = free_port()
    options = ["--silent", "--disableTelemetry", "--skipApiVersionCheck", "--location=data"]
    options += ["--blobHost=127.0.0.1", f"--blobPort={port}", "--cert=cert.pem", "--key=key.pem"]
    process = subprocess.Popen(
        [find_node(), str(find_azurite()), *options],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "AZURITE_ACCOUNTS": f"me:{SOME_KEY}"},
        stdout=subprocess.DEVNULL,
    )

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until(listens, "Azurite starts")
    yield f"https://127.0.0.1:{port}/me", folder / "cert.pem"
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize("client", CLIENTS)
def test_an_authority_of_the_environment_is_trusted_and_no_other(
    endpoint: tuple[str, Path], client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, certificate = endpoint
    service = AzureService(url, "me", SOME_KEY, client_name=client)
    for name in list(os.environ):
        if "CERT" in name or "CA_BUNDLE" in name or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    with (
        opened(service, "none", retry_limit_s=0.0) as store,
        pytest.raises(StorageFault, match="cannot look at the object"),
    ):
        store.stat("key")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with (
        opened(service, "none", retry_limit_s=0.0) as store,
        pytest.raises(StorageFault, match="the container does not exist"),
    ):
        list(store.list())

"""The clients of S3, by name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from cm4storage.core.errors import UserError
from cm4storage.storage.objects.service import host_of, is_loopback, obstore_client_options

if TYPE_CHECKING:
    from cm4storage.storage.objects.client import ObjectClient
    from cm4storage.storage.objects.retrying import Retrier
    from cm4storage.storage.objects.s3_service import S3Service

KNOWN: Final = ("obstore", "boto3", "s3dlio")
"""The first is the default one."""


def check(name: str) -> str:
    """Return the name of a client, the default one's for an empty name.

    Raises
    ------
    UserError
        If there is no such client of S3.
    """
    if name and name not in KNOWN:
        raise UserError(
            f"unknown client of S3: {name}",
            meaning=f"known are {', '.join(KNOWN)}",
            advice="name one of them with --client or _client.NAME, or leave it out",
        )
    return name or KNOWN[0]


def make(service: S3Service, bucket: str, prefix: str, retrier: Retrier) -> ObjectClient:
    """Return the client that `service` asks for, on the objects below `prefix`."""
    name = check(service.client_name)
    if name == "boto3":
        from cm4storage.storage.objects.boto3_client import Boto3Client

        return Boto3Client(service, bucket, prefix, retrier)
    if name == "s3dlio":
        from cm4storage.storage.objects.s3dlio_client import S3dlioClient

        return S3dlioClient(service, bucket, prefix)
    return _obstore(service, bucket, prefix, retrier.limit_s)


def _obstore(service: S3Service, bucket: str, prefix: str, retry_limit_s: float) -> ObjectClient:
    from cm4storage.storage.objects.obstore_client import ObstoreClient

    def make_store(retry_config: Any) -> Any:
        from obstore.store import S3Store

        options = obstore_client_options(service.endpoint_url)
        if service.ca_bundle:
            options["root_certificate"] = service.read_ca_bundle()
        return S3Store(
            bucket,
            prefix=prefix or None,
            config=_obstore_config(service, bucket),
            client_options=options,
            retry_config=retry_config,
            credential_provider=service.obstore_credentials(),
        )

    return ObstoreClient(make_store, retry_limit_s)


def _obstore_config(service: S3Service, bucket: str) -> Any:
    """Return all that obstore would otherwise take from variables that are not meant for us."""
    config: dict[str, Any] = {
        "region": service.region,
        "skip_signature": service.anonymous,
        "virtual_hosted_style_request": service.virtual_hosts,
    }
    endpoint = service.endpoint_url
    if endpoint is None and {"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"} & os.environ.keys():
        # AWS_IGNORE_CONFIGURED_ENDPOINT_URLS is set, which the library does not know.
        endpoint = f"https://s3.{service.region}.amazonaws.com"
    if endpoint is not None:
        # With buckets as hosts the library wants the bucket's own host.
        scheme, _, place = endpoint.partition("://")
        own = f"{scheme}://{bucket}.{place}" if service.virtual_hosts else endpoint
        config |= {"endpoint": own, "aws_endpoint_url_s3": own}
    if endpoint is None or not endpoint.startswith("http://") or is_loopback(endpoint):
        # TLS or the kernel guards the bytes; hashing them again costs most of a PUT.
        config["unsigned_payload"] = True
    return config


def is_amazon(endpoint_url: str | None) -> bool:
    """Tell whether an endpoint is one of Amazon's own."""
    return endpoint_url is None or host_of(endpoint_url).endswith(".amazonaws.com")

"""What clients say they lack is in the guide, and everything else is tested."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cm4storage.storage.objects.azure_client import AzureSdkClient
from cm4storage.storage.objects.boto3_client import Boto3Client
from cm4storage.storage.objects.client import CAPABILITIES
from cm4storage.storage.objects.obstore_client import ObstoreClient
from cm4storage.storage.objects.s3_clients import KNOWN
from cm4storage.storage.objects.s3dlio_client import S3dlioClient

HERE = Path(__file__).parent
GUIDE = HERE.parents[1] / "docs" / "guide" / "s3.md"
CLIENTS = (ObstoreClient, Boto3Client, S3dlioClient)  # those of S3


def test_the_clients_of_s3_are_these() -> None:
    assert tuple(client.name for client in CLIENTS) == KNOWN


@pytest.mark.parametrize("client", [*CLIENTS, AzureSdkClient], ids=lambda client: client.name)
def test_what_a_client_lacks_is_a_capability(client: type[ObstoreClient]) -> None:
    assert set(client.lacks) <= set(CAPABILITIES)


def test_the_guide_shows_the_matrix() -> None:
    rows = [
        f"| {text} | {' | '.join('no' if name in c.lacks else 'yes' for c in CLIENTS)} |"
        for name, text in CAPABILITIES.items()
    ]
    head = f"| | {' | '.join(client.name for client in CLIENTS)} |"
    assert "\n".join([head, "|---|---|---|---|", *rows]) in GUIDE.read_text(encoding="utf-8")


def test_every_capability_has_a_test() -> None:
    texts = [file.read_text(encoding="utf-8") for file in HERE.glob("*_contract.py")]
    marks = re.findall(r"pytest\.mark\.needs\(([^)]*)\)", "".join(texts))
    assert set(re.findall(r'"([a-z-]+)"', "".join(marks))) == set(CAPABILITIES)

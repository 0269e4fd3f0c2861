"""The contract, kept by S3 through s3dlio."""

from __future__ import annotations

import pytest
from s3_contract import S3Contract

pytest.importorskip("s3dlio", reason="s3dlio needs Python 3.11 or newer")


class TestS3dlio(S3Contract):
    client = "s3dlio"

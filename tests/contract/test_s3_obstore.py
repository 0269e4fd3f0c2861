"""The contract, kept by S3 through obstore."""

from __future__ import annotations

from s3_contract import S3Contract


class TestObstore(S3Contract):
    client = "obstore"

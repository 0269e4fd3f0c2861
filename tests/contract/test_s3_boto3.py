"""The contract, kept by S3 through boto3."""

from __future__ import annotations

from s3_contract import S3Contract


class TestBoto3(S3Contract):
    client = "boto3"

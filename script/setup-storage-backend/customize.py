"""Decide where data are kept: what the user names, else a folder of the CM cache."""

import os

EMBEDDED_BUCKET = "s3://cm4storage"


def preprocess(i):
    """Set the root of the data, and the embedded server's folder where one is used."""
    env = i["env"]
    data_dir = env.get("MLPERF_STORAGE_DATA_DIR") or env["MLPERF_STORAGE_FOLDER"]
    is_object_uri = data_dir.startswith("s3://")
    env["MLPERF_STORAGE_SERVER_DIR"] = ""
    env["MLPERF_STORAGE_DATA_URI"] = data_dir
    if env["MLPERF_STORAGE_BACKEND"] == "file":
        if is_object_uri or env.get("MLPERF_STORAGE_ENDPOINT_URL"):
            return _error("an S3 location needs the S3 backend: add _s3 to the tags")
        return {"return": 0}
    endpoint = env.get("MLPERF_STORAGE_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT_URL")
    if is_object_uri:
        return {"return": 0}
    if endpoint:
        return _error("an endpoint needs a bucket: give --data_dir=s3://BUCKET/PREFIX")
    env["MLPERF_STORAGE_SERVER_DIR"] = data_dir
    env["MLPERF_STORAGE_DATA_URI"] = EMBEDDED_BUCKET
    return {"return": 0}


def _error(text):
    return {"return": 1, "error": text}

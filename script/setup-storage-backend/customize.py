"""Decide where data are kept: what the user names, else a folder of the CM cache."""

import os
from urllib.parse import quote, unquote, urlsplit

EMBEDDED_BUCKET = "s3://cm4storage"


def preprocess(i):
    """Set the root of the data, and the embedded server's folder where one is used."""
    env = i["env"]
    data_dir = env.get("MLPERF_STORAGE_DATA_DIR") or env["MLPERF_STORAGE_FOLDER"]
    endpoint = env.get("MLPERF_STORAGE_ENDPOINT_URL") or ""
    for name, text in (("--data_dir", data_dir), ("--endpoint_url", endpoint)):
        if "@" in urlsplit(text).netloc:
            return _error(f"{name}: credentials do not belong in a URL; set the AWS_* variables")
    env["MLPERF_STORAGE_DATA_URI"], env["MLPERF_STORAGE_SERVER_DIR"] = data_dir, ""
    if env["MLPERF_STORAGE_BACKEND"] == "s3":
        return _set_s3(env, data_dir, endpoint or os.environ.get("AWS_ENDPOINT_URL", ""))
    if endpoint:
        return _error("--endpoint_url is for the S3 backend: add _s3 to the tags")
    if data_dir.startswith("s3://"):
        return _error(f"--data_dir={data_dir} is for the S3 backend: add _s3 to the tags")
    return _set_folder(env, data_dir)


def _set_folder(env, data_dir):
    """Use the folder that is named, through the page cache or past it."""
    scheme, mark, place = data_dir.partition("://")
    is_direct = bool(mark) and scheme.lower() in ("directio", "direct")
    if env["MLPERF_STORAGE_BACKEND"] == "directio":
        if not mark:
            place = quote(data_dir)
        elif not is_direct and scheme.lower() != "file":
            return _error(f"--data_dir={data_dir} is no folder: give a path or directio:///FOLDER")
        env["MLPERF_STORAGE_DATA_URI"] = f"directio://{place}"
    elif is_direct:
        return _error(f"--data_dir={data_dir} is for direct I/O: add _directio to the tags")
    return {"return": 0}


def _set_s3(env, data_dir, endpoint):
    """Use the bucket that is named, or an embedded server that keeps its data in a folder."""
    if data_dir.startswith("s3://"):
        return {"return": 0}
    if endpoint:
        return _error("an endpoint needs a bucket: give --data_dir=s3://BUCKET/PREFIX")
    scheme, _, _ = data_dir.rpartition("://")
    if scheme not in ("", "file"):
        return _error(f"--data_dir={data_dir} is no S3 location: give s3://BUCKET/PREFIX")
    folder = unquote(urlsplit(data_dir).path) if scheme else data_dir
    env["MLPERF_STORAGE_SERVER_DIR"] = folder
    env["MLPERF_STORAGE_DATA_URI"] = EMBEDDED_BUCKET
    return {"return": 0}


def _error(text):
    return {"return": 1, "error": text}

"""Decide where data are kept: what the user names, else a folder of the CM cache."""

import os
from urllib.parse import quote, unquote, urlsplit

EMBEDDED_BUCKET = "cm4storage"
SCHEMES = {"s3": "s3", "azure": "az"}
CONTAINERS = {"s3": "s3://BUCKET/PREFIX", "azure": "az://CONTAINER/PREFIX"}
TITLES = {"s3": "S3", "azure": "Azure"}
ENDPOINTS = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    "azure": (
        "AZURE_STORAGE_CONNECTION_STRING",
        "AZURE_STORAGE_ENDPOINT",
        "AZURE_STORAGE_SERVICE_ENDPOINT",
    ),
}


def preprocess(i):
    """Set the root of the data, and the embedded server's folder where one is used."""
    env = i["env"]
    data_dir = env.get("MLPERF_STORAGE_DATA_DIR") or env["MLPERF_STORAGE_FOLDER"]
    endpoint = env.get("MLPERF_STORAGE_ENDPOINT_URL") or ""
    for name, text in (("--data_dir", data_dir), ("--endpoint_url", endpoint)):
        if "@" in urlsplit(text).netloc:
            return _error(
                f"{name}: credentials do not belong in a URL; set the AWS_* or AZURE_STORAGE_* "
                "variables"
            )
    env["MLPERF_STORAGE_DATA_URI"], env["MLPERF_STORAGE_SERVER_DIR"] = data_dir, ""
    backend = env["MLPERF_STORAGE_BACKEND"]
    for other, scheme in SCHEMES.items():
        if other != backend and data_dir.startswith(f"{scheme}://"):
            return _error(
                f"--data_dir={data_dir} is for the {TITLES[other]} backend: "
                f"add _{other} to the tags"
            )
    if backend in SCHEMES:
        return _set_service(env, backend, data_dir, endpoint)
    if env.get("MLPERF_STORAGE_CLIENT"):
        return _error("_client is for object services: add _s3 or _azure to the tags")
    if endpoint:
        return _error("--endpoint_url is for object storage: add _s3 or _azure to the tags")
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


def _set_service(env, backend, data_dir, endpoint):
    """Use the bucket that is named, or an embedded server that keeps its data in a folder."""
    if data_dir.startswith(f"{SCHEMES[backend]}://"):
        return {"return": 0}
    if endpoint or any(os.environ.get(name) for name in ENDPOINTS[backend]):
        what = "a bucket" if backend == "s3" else "a container"
        return _error(f"an endpoint needs {what}: give --data_dir={CONTAINERS[backend]}")
    scheme, _, _ = data_dir.rpartition("://")
    if scheme not in ("", "file"):
        return _error(
            f"--data_dir={data_dir} is no {TITLES[backend]} location: give {CONTAINERS[backend]}"
        )
    folder = unquote(urlsplit(data_dir).path) if scheme else data_dir
    env["MLPERF_STORAGE_SERVER_DIR"] = folder
    env["MLPERF_STORAGE_DATA_URI"] = f"{SCHEMES[backend]}://{EMBEDDED_BUCKET}"
    return {"return": 0}


def _error(text):
    return {"return": 1, "error": text}

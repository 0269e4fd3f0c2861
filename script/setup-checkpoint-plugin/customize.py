"""Refuse what cannot be, and say what the loader is to do."""

from urllib.parse import urlsplit


def preprocess(i):
    """Check how the inputs and variations go together."""
    env = i["env"]
    if "@" in urlsplit(env.get("MLPERF_STORAGE_CHECKPOINT_DIR") or "").netloc:
        return _error(
            "--checkpoint_dir: credentials do not belong in a URL; set the AWS_* or "
            "AZURE_STORAGE_* variables"
        )
    if env.get("MLPERF_STORAGE_CHECKPOINT_STEPS") and env.get("MLPERF_STORAGE_CHECKPOINT_EPOCHS"):
        return _error("--checkpoint_steps and --checkpoint_epochs: say one of them")
    compression = env.get("MLPERF_STORAGE_CHECKPOINT_COMPRESSION") or ""
    if env.get("MLPERF_STORAGE_CHECKPOINT_LEVEL") and not compression:
        return _error(
            "--checkpoint_level is that of zstd: add _zstd to the tags of setup,checkpoint,plugin, "
            "or _checkpoint.zstd to those of the run"
        )
    env["MLPERF_STORAGE_CHECKPOINT"] = "yes"
    env["MLPERF_STORAGE_CHECKPOINT_COMPRESSION"] = compression
    for name in ("MLPERF_STORAGE_CHECKPOINT_ASYNC", "MLPERF_STORAGE_CHECKPOINT_FSYNC"):
        env[name] = env.get(name) or "no"
    return {"return": 0}


def _error(text):
    return {"return": 1, "error": text}

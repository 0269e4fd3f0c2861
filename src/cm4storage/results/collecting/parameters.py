"""The parameters of a run: its configuration under canonical names, and its machines."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import is_secret_name, redact_url
from cm4storage.results.collecting.files import mapping, number, read_yaml, sequence
from cm4storage.workload.schema import canonical_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from cm4storage.results.collecting.model import Value

_MOST_KEYS = 1000  # an alias in YAML can stand for millions
_MOST_LETTERS = 200
_MOST_LISTED = 20
_OF_SUMMARY = {
    "num_accelerators": "num_accelerators",
    "num_hosts": "num_hosts",
    "num_files_train": "dataset.num_files_train",
    "num_files_eval": "dataset.num_files_eval",
    "num_samples_per_file": "dataset.num_samples_per_file",
    "epochs": "train.epochs",
    "data_size_per_host_GB": "data_size_per_host_gib",
}


def of_config(folder: Path | None) -> dict[str, Value]:
    """Return the keys in a folder's ``config.yaml``; none where there is no such file.

    Raises
    ------
    UnreadableFileError
    """
    if folder is None or not (folder / "config.yaml").exists():
        return {}
    document = mapping(read_yaml(folder / "config.yaml"))
    return flattened(mapping(document.get("workload", document)))


def overrides_in(folder: Path | None) -> list[Any]:
    """Return the list in a folder's ``overrides.yaml``; none where there is no such file.

    Raises
    ------
    UnreadableFileError
    """
    if folder is None or not (folder / "overrides.yaml").exists():
        return []
    return sequence(read_yaml(folder / "overrides.yaml"))


def of_overrides(overrides: list[Any]) -> dict[str, Value]:
    """Return the keys that ``++workload.KEY=VALUE`` set."""
    found: dict[str, Value] = {}
    for each in overrides:
        path, equals, value = str(each).lstrip("+").partition("=")
        if equals and path.startswith("workload."):
            found |= flattened({path.removeprefix("workload."): _typed(value)})
    return found


def of_metadata(metadata: Mapping[str, Any]) -> dict[str, Value]:
    """Return the parameters that ``mlpstorage`` noted."""
    found = mapping(metadata.get("parameters")) or mapping(metadata.get("combined_params"))
    return flattened(mapping(found.get("workload", found)))


def of_summary(summary: Mapping[str, Any]) -> dict[str, Value]:
    """Return what DLIO's summary says of data and machines."""
    found: dict[str, Value] = {}
    for name, key in _OF_SUMMARY.items():
        value = number(summary.get(name))
        if value is not None:
            found[key] = int(value) if value.is_integer() else value
    memory = [number(each) for each in sequence(summary.get("host_memory_GB"))]
    known = [each for each in memory if each]  # DLIO writes 0 for hosts that it did not ask
    if known:
        found["host_memory_gib"] = round(max(known), 3)
    model = mapping(summary.get("host_cpuinfo")).get("model name")
    if isinstance(model, str):
        found["host_cpu"] = model[:_MOST_LETTERS]
    return found


def flattened(document: Mapping[Any, Any]) -> dict[str, Value]:
    """Return the plain values of a nested mapping by canonical path, secrets left out."""
    found: dict[str, Value] = {}
    for path, value in islice(_leaves(document, "", 0), _MOST_KEYS):
        if value is not None and not is_secret_name(path):
            found[canonical_path(path)] = _plain(value)
    return found


def _leaves(document: Mapping[Any, Any], prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        path = f"{prefix}{name}"
        if isinstance(value, dict) and value and depth < 8:  # each level yields something
            yield from _leaves(value, f"{path}.", depth + 1)
        else:
            yield path, value


def _plain(value: object) -> Value:
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return value if number(value) is not None else str(value)
    if isinstance(value, str):
        return _typed(redact_url(value[:_MOST_LETTERS]))
    return _listed(value) if isinstance(value, list) else "..."


def _listed(values: list[Any]) -> str:
    """Return a list as a text; what is nested in it, which may be the list itself, is left out."""
    plain = [
        str(each)[:_MOST_LETTERS] if isinstance(each, str | int | float) else "..."
        for each in values[:_MOST_LISTED]
    ]
    more = ["..."] if len(values) > _MOST_LISTED else []
    return redact_url(f"[{', '.join(plain + more)}]"[:_MOST_LETTERS])


def _typed(text: str) -> Value:
    """Return a number that is written as a text, as 1e-3 is to YAML, as a number."""
    if text in {"True", "true", "False", "false"}:
        return text in {"True", "true"}
    found = number(text)
    if found is None or "_" in text:
        return text
    return int(found) if found.is_integer() and text.lstrip("-").isdecimal() else found

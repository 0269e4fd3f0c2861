"""Where a run took place: host, software, data, and what fixes its identity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cm4storage.report.html import wording

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cm4storage.results.checkpoint_run_figures import CheckpointRunFigures
    from cm4storage.results.figures import RunFigures

Facts = list[tuple[str, str]]

_DIGESTS_SHOWN = 2
"""Of checkpoints; the table has all."""

_NETWORKS_SHOWN = 8
"""A host of containers has hundreds; the record has all."""


def host_facts(environment: dict[str, Any]) -> Facts:
    """Return what is known of the machine."""
    host = environment["host"]
    cpu = host.get("cpu") or {}
    return _known(
        ("host", host.get("hostname")),
        ("system", host.get("system")),
        ("kernel", host.get("kernel")),
        ("processor", cpu.get("model name") or host.get("processor")),
        ("logical processors", host.get("cpu_count")),
        ("memory", wording.size(host.get("memory_bytes"))),
        ("network", _networks(host.get("networks") or [])),
        ("interpreter", host.get("interpreter")),
    )


def software_facts(environment: dict[str, Any]) -> Facts:
    """Return the versions of what the run used, and the state of the source."""
    git = environment.get("git") or {}
    state = f"{git['commit']}{', changed since' if git['dirty'] else ''}" if git else None
    return _known(*environment["host"].get("versions", {}).items(), ("source code", state))


def file_system_facts(environment: dict[str, Any]) -> Facts:
    """Return what is below local data; nothing where they are elsewhere, or it is not known."""
    found = environment.get("file_system") or {}
    device = found.get("block_device") or {}
    return _known(
        ("type", found.get("type")),
        ("mounted at", found.get("mount_point")),
        ("mounted from", found.get("source")),
        ("mount options", found.get("options", "").replace(",", ", ")),
        ("block device", ", ".join(_device(device))),
    )


def _device(device: dict[str, Any]) -> Iterator[str]:
    """Yield what is known of a block device, a few words each."""
    if not device:
        return
    yield " ".join(filter(None, (device["name"], device["model"])))
    if device["size_bytes"]:
        yield wording.size(device["size_bytes"])
    if device["rotational"] is not None:
        yield "rotational" if device["rotational"] else "not rotational"
    if device["scheduler"]:
        yield f"scheduler {device['scheduler']}"
    if device["read_ahead_bytes"] is not None:
        yield f"read-ahead {wording.size(device['read_ahead_bytes'])}"
    if device["made_of"]:
        yield f"made of {' and '.join(device['made_of'])}"


def _networks(networks: list[dict[str, Any]]) -> str:
    """Return the interfaces with their speeds; those that tell theirs come first."""
    speeds = {each["name"]: each["speed_mbit_per_s"] for each in networks}
    names = sorted(speeds, key=lambda name: speeds[name] is None)
    shown = [
        name if speeds[name] is None else f"{name} {wording.amount(speeds[name], 'Mbit/s')}"
        for name in names[:_NETWORKS_SHOWN]
    ]
    more = len(names) - len(shown)
    return ", ".join([*shown, *([f"{more} more"] if more else [])])


def data_facts(figures: RunFigures) -> Facts:
    """Return where the data are and how they were read."""
    record, dataset, reader = figures.record, figures.workload.dataset, figures.workload.reader
    conduct = record.conduct
    return _known(
        ("location", record.data_set["uri"]),
        ("backend", record.data_set["backend"]),
        ("client", record.data_set.get("client")),
        ("server", record.data_set.get("server")),
        ("format", dataset.format),
        ("files for training", f"{dataset.num_files_train:,}"),
        ("samples in a file", f"{dataset.num_samples_per_file:,}"),
        ("batch", f"{reader.batch_size:,}"),
        (f"reader {conduct.get('readers') or 'threads'}", reader.read_threads),
        ("start of an epoch", "cold, evicted" if conduct.get("is_cold") else "as it was found"),
        ("bad files", conduct.get("on_error")),
    )


def identity_facts(figures: RunFigures) -> Facts:
    """Return the digests that another run has to have to be the same, and the limits."""
    record, manifest = figures.record, figures.record.data_set["manifest"] or {}
    return _known(
        ("seed", figures.workload.train.seed),
        ("workload digest", record.workload["digest"]),
        ("data set", manifest.get("content_digest")),
        ("order digest", record.order["digest"]),
        ("first samples", ", ".join(map(str, record.order["first_sample_ids"]))),
        *((name.replace("_", " "), value) for name, value in record.limits.items()),
        ("start", record.start.replace("T", " ")),
        ("end", record.end.replace("T", " ")),
    )


def plugin_facts(figures: RunFigures) -> Facts:
    """Return the time that was spent in each method of each plugin; nothing where none ran."""
    return [
        (f"{name}.{method}", wording.duration(spent_s))
        for name, methods in figures.record.plugins.items()
        for method, spent_s in methods.items()
    ]


def checkpoint_facts(figures: CheckpointRunFigures) -> Facts:
    """Return how large a checkpoint is, and how many files it has."""
    layout, every = figures.record.layout, [*figures.saves, *figures.loads]
    stored = {wording.size(each.stored_bytes) for each in every}
    return _known(
        ("model", wording.size(layout["model_bytes"])),
        ("optimizer", wording.size(layout["optimizer_bytes"])),
        ("together", f"{wording.size(figures.size_bytes)}, {figures.size_bytes:,} bytes"),
        ("as it is stored", ", ".join(sorted(stored))),
        ("files", f"{layout['files']:,}"),
    )


def parallelism_facts(figures: CheckpointRunFigures) -> Facts:
    """Return how the model is spread over the ranks."""
    layout = figures.record.layout
    return _known(
        ("ranks", f"{figures.ranks:,}"),
        ("by the CLOSED division", layout["prescribed_ranks"]),
        ("a subset of all", "yes" if layout["is_subset"] else "no"),
        ("hosts", layout["hosts"]),
        ("tensor parallelism", layout["tensor"]),
        ("pipeline parallelism", layout["pipeline"]),
        ("copies of the model", layout["data"]),
        ("ZeRO stage", layout["zero_stage"]),
    )


def checkpoint_storage_facts(figures: CheckpointRunFigures) -> Facts:
    """Return where the checkpoints are, and how they were written."""
    storage, section = figures.record.storage, figures.workload.checkpoint
    return _known(
        ("location", storage["uri"]),
        ("backend", storage["backend"]),
        ("client", storage["client"]),
        ("server", storage["server"]),
        ("files for", "torch.load" if storage["container"] == "torch" else storage["container"]),
        ("synced", _synced(storage)),
        ("threads of a rank", storage.get("threads_per_rank")),
        ("requests sent again", storage["retries"]),
        ("pause before each", wording.duration(abs(section.time_between_checkpoints))),
        ("time ends with", "all ranks" if section.rank_sync else "each rank"),
        ("contents", "random" if section.randomize_tensor else "ones"),
    )


def checkpoint_identity_facts(figures: CheckpointRunFigures) -> Facts:
    """Return the digests that another run has to have to be the same, and the moments."""
    record = figures.record
    digests = [(f"checkpoint {each.number}", each.content_digest) for each in figures.saves]
    return _known(
        ("seed", figures.workload.train.seed),
        ("workload digest", record.workload["digest"]),
        *digests[:_DIGESTS_SHOWN],
        ("start", record.start.replace("T", " ")),
        ("end", record.end.replace("T", " ")),
    )


def _synced(storage: dict[str, Any]) -> str:
    if storage["backend"] not in ("file", "directio"):
        return ""  # a service decides that itself
    return "yes" if storage["fsync"] else "no"


def _known(*pairs: tuple[str, Any]) -> Facts:
    return [(name, str(value)) for name, value in pairs if value not in (None, "")]

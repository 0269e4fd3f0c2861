"""Where a run took place: host, software, data, and what fixes its identity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cm4storage.report.html import wording

if TYPE_CHECKING:
    from cm4storage.results.figures import RunFigures

Facts = list[tuple[str, str]]


def host_facts(figures: RunFigures) -> Facts:
    """Return what is known of the machine."""
    host = figures.record.environment["host"]
    cpu = host.get("cpu") or {}
    return _known(
        ("host", host.get("hostname")),
        ("system", host.get("system")),
        ("processor", cpu.get("model name") or host.get("processor")),
        ("logical processors", host.get("cpu_count")),
        ("memory", wording.size(host.get("memory_bytes"))),
        ("interpreter", host.get("interpreter")),
    )


def software_facts(figures: RunFigures) -> Facts:
    """Return the versions of what the run used."""
    return _known(*figures.record.environment["host"].get("versions", {}).items())


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
        ("reader threads", reader.read_threads),
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


def _known(*pairs: tuple[str, Any]) -> Facts:
    return [(name, str(value)) for name, value in pairs if value not in (None, "")]

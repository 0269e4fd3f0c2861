"""The metrics that runs are compared by: one name for each, whatever the file calls it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Better = Literal["more", "less", ""]


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes
    ----------
    key, title, unit : str
    better : {'more', 'less', ''}
        Empty where neither is better.
    """

    key: str
    title: str
    unit: str
    better: Better = ""


METRICS = (
    Metric("au_mean_percent", "AU", "%", "more"),
    Metric("au_stdev_percent", "AU, deviation over epochs", "%"),
    Metric("samples_per_s", "Throughput", "samples/s", "more"),
    Metric("samples_per_s_stdev", "Throughput, deviation over epochs", "samples/s"),
    Metric("samples_per_s_per_accelerator", "Throughput of one accelerator", "samples/s", "more"),
    Metric("nominal_mib_per_s", "Nominal rate", "MiB/s", "more"),
    Metric("nominal_mib_per_s_stdev", "Nominal rate, deviation over epochs", "MiB/s"),
    Metric("read_mib_per_s", "Read from storage", "MiB/s", "more"),
    Metric("read_bytes", "Bytes read", "bytes"),
    Metric("wait_p50_ms", "Wait for a batch, P50", "ms", "less"),
    Metric("wait_p95_ms", "Wait for a batch, P95", "ms", "less"),
    Metric("wait_p99_ms", "Wait for a batch, P99", "ms", "less"),
    Metric("wait_max_ms", "Wait for a batch, longest", "ms", "less"),
    Metric("read_p50_ms", "A read, P50", "ms", "less"),
    Metric("read_p95_ms", "A read, P95", "ms", "less"),
    Metric("read_p99_ms", "A read, P99", "ms", "less"),
    Metric("retries", "Retries", "", "less"),
    Metric("epoch_mean_s", "An epoch", "s", "less"),
    Metric("run_s", "Whole run", "s", "less"),
    Metric("eval_au_mean_percent", "Evaluation: AU", "%", "more"),
    Metric("eval_samples_per_s", "Evaluation: throughput", "samples/s", "more"),
    Metric("eval_nominal_mib_per_s", "Evaluation: nominal rate", "MiB/s", "more"),
    Metric("save_gib_per_s", "Checkpoint write", "GiB/s", "more"),
    Metric("save_s", "Checkpoint write, duration", "s", "less"),
    Metric("load_gib_per_s", "Checkpoint read", "GiB/s", "more"),
    Metric("load_s", "Checkpoint read, duration", "s", "less"),
    Metric("save_rank_0_gib_per_s", "Checkpoint write, rank 0", "GiB/s", "more"),
    Metric("save_rank_0_s", "Checkpoint write, duration, rank 0", "s", "less"),
    Metric("load_rank_0_gib_per_s", "Checkpoint read, rank 0", "GiB/s", "more"),
    Metric("load_rank_0_s", "Checkpoint read, duration, rank 0", "s", "less"),
    Metric("checkpoint_gib", "Checkpoint size", "GiB"),
)
"""``save_gib_per_s`` and ``save_s`` and those of reading are by the rules of MLPerf Storage: least
and longest over the ranks, then the mean over the checkpoints. DLIO's own are of rank 0 alone."""

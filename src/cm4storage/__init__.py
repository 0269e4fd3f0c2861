"""Reproducible MLPerf Storage benchmarking: workloads, storage, data sets, loader and results."""

__version__ = "0.1.0"

"""Run a workload at many points, each once, and lay the results side by side."""

"""Whether this machine can run benchmarks, and how to make it ready: doctor and bootstrap."""

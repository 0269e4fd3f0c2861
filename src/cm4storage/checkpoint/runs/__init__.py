"""The workload that writes and reads checkpoints and does nothing else."""

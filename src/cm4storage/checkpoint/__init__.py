"""Checkpoints: what is in them, how their bytes are written and found again."""

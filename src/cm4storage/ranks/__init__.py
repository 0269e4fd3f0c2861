"""Communicators: the ranks of a run. One process for now."""

"""Communicators: the ranks of a run, one process each, on this machine."""

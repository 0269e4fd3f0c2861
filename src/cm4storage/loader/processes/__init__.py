"""Readers that are processes, each with an interpreter of its own; one batch memory for all."""

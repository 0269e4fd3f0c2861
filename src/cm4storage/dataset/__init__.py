"""Data sets: their identity, contents, generation, manifest and verification."""

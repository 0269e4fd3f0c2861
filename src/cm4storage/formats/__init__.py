"""File formats: samples to bytes, and bytes to samples without copying where possible."""

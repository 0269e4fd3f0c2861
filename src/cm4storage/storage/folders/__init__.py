"""Stores over folders of the local file system: through the page cache, and past it."""

"""Stores: one protocol over local files and object storage, and the embedded servers."""

"""Embedded servers: real storage services on loopback, owned by one supervisor per data folder.

A user connects with `connect` and gets the endpoint and fresh credentials; the server runs as long
as somebody holds such a connection, or the lifeline of a run that was handed over.
"""

from cm4storage.storage.embedded.client import EmbeddedServer, connect, ensure_bucket
from cm4storage.storage.embedded.serve import serve_foreground

__all__ = ["EmbeddedServer", "connect", "ensure_bucket", "serve_foreground"]

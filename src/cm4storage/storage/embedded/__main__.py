"""The supervisor's process: ``python -m cm4storage.storage.embedded``. Users start it by itself."""

from __future__ import annotations

import argparse
import os
import socket
import sys
import traceback
from pathlib import Path

from cm4storage.core.errors import ExitCode


def main() -> int:
    """Let go of the starter, then supervise until the last user has gone."""
    parser = argparse.ArgumentParser(prog="python -m cm4storage.storage.embedded")
    parser.add_argument("folder", type=Path, help="the server's data folder")
    parser.add_argument("--kind", default="s3", help="which service")
    parser.add_argument("--connection", type=int, required=True, help="the first user's socket")
    arguments = parser.parse_args()
    if os.fork():
        os._exit(0)  # the starter waits for this one; the supervisor is nobody's child

    from cm4storage.storage.embedded.supervisor import supervise

    os.umask(0o077)
    os.set_inheritable(arguments.connection, False)
    return supervise(arguments.folder, arguments.kind, socket.socket(fileno=arguments.connection))


if __name__ == "__main__":
    code = int(ExitCode.INTERNAL)
    try:
        code = main()
    except Exception:  # noqa: BLE001 - whatever it is, it belongs into the log
        traceback.print_exc()
    finally:
        # The last user waits until its connection closes. Leaving at once, the kernel closes it
        # together with the process; the interpreter's own end would close it some time before.
        sys.stderr.flush()
        os._exit(code)

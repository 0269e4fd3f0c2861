"""The user's side of an embedded server."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cm4storage.core.errors import StorageFault, UserError
from cm4storage.core.files import locked
from cm4storage.core.lifeline import inherited_descriptor
from cm4storage.storage.embedded import condition, wire
from cm4storage.storage.embedded.kinds import KINDS, title_of
from cm4storage.storage.embedded.logs import tail
from cm4storage.storage.embedded.paths import ServerPaths
from cm4storage.storage.embedded.spawning import spawn
from cm4storage.storage.file_faults import file_fault
from cm4storage.storage.location import check_server_dir

if TYPE_CHECKING:
    from types import TracebackType

    from cm4storage.storage.embedded.kinds import Kind

_CONNECT_LIMIT_S: Final = 120.0
_CLOSE_LIMIT_S: Final = 10.0
_RETRY_PAUSE_S: Final = 0.05


class EmbeddedServer:
    """A held connection to a running embedded server. Make it with `connect`.

    Attributes
    ----------
    endpoint_url : str
        Where it listens, on loopback.
    kind : Kind
        Which service.
    bucket : str
        A bucket or container that exists.
    access_key_id, secret_access_key : str
        On Azure the account and its key. Valid until the server stops; never write them to a file.
    """

    def __init__(
        self, kind: Kind, link: socket.socket, access: dict[str, str], folder: Path
    ) -> None:
        self.kind = kind
        self._link = link
        self._access = access
        self._folder = folder
        self.endpoint_url = access["endpoint_url"]
        self.bucket = access["bucket"]
        self.access_key_id = access["access_key_id"]
        self.secret_access_key = access["secret_access_key"]

    def __repr__(self) -> str:
        return f"EmbeddedServer({self.endpoint_url!r}, bucket={self.bucket!r})"

    def __enter__(self) -> EmbeddedServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def fileno(self) -> int:
        """Return the connection's descriptor; it becomes readable when the server has gone."""
        return self._link.fileno()

    def exports(self) -> dict[str, str]:
        """Return the variables by which other tools reach the server; they hold credentials."""
        return self.kind.exports(self._access)

    def make_container(self, name: str) -> int:
        """Make a bucket or container and return the HTTP status; `OSError` where none comes."""
        return self.kind.make_container(self._access, name)

    def free_bytes(self) -> int:
        """Return the space left in the server's folder."""
        return condition.free_bytes(self._folder)

    def explain(self, fault: StorageFault) -> StorageFault:
        """Return what `fault`, met in a request, has to do with the state of this server."""
        has_ended = condition.has_ended(self._link)
        return condition.explained(fault, self._folder, has_ended=has_ended)

    def close(self) -> None:
        """Stop being a user; the last one waits until the server has stopped."""
        with self._link, contextlib.suppress(OSError):
            self._link.shutdown(socket.SHUT_WR)
            self._link.settimeout(_CLOSE_LIMIT_S)
            while self._link.recv(4096):
                pass


def connect(server_dir: Path, kind: str = "s3", *, share_lifeline: bool = False) -> EmbeddedServer:
    """Join the embedded server of `server_dir`, and start it when it does not run.

    Parameters
    ----------
    server_dir : Path
        The server's data folder; made when missing, and closed to other users.
    kind : str
        Which service, one of `cm4storage.storage.embedded.kinds.KINDS`.
    share_lifeline : bool
        Within a run: keep the server until the whole run has ended.

    Raises
    ------
    StorageFault
        If the server does not start, with the end of its log.
    UserError
        If it is not installed, or `server_dir` is relative or a URI.
    """
    check_server_dir(server_dir)
    if kind in KINDS:
        KINDS[kind].install()
    paths = ServerPaths(Path(os.path.abspath(server_dir)))  # noqa: PTH100 - resolve() needs rights
    paths.prepare()
    lifeline = inherited_descriptor() if share_lifeline else None
    deadline = time.monotonic() + _CONNECT_LIMIT_S
    while time.monotonic() < deadline:
        with contextlib.ExitStack() as undo:
            link, inbox = _join_or_start(paths, kind)
            undo.callback(link.close)
            answer = _ask(link, inbox, kind, lifeline, deadline)
            if answer is not None and "retry" not in answer:
                _raise_error(answer)
                undo.pop_all()
                return EmbeddedServer(KINDS[kind], link, answer, paths.folder)
        time.sleep(_RETRY_PAUSE_S)
    raise StorageFault(
        f"the embedded {title_of(kind)} server gave no answer within {_CONNECT_LIMIT_S:.0f} s",
        where=str(paths.folder),
        meaning=tail(paths.supervisor_log),
    )


def ensure_bucket(server: EmbeddedServer, bucket: str) -> None:
    """Make the bucket or container `bucket` on an embedded server, unless it is there.

    Raises
    ------
    StorageFault
        If the server refuses.
    """
    if bucket == server.bucket:
        return
    what = f"cannot create the {server.kind.container} {bucket}"
    try:
        status = server.make_container(bucket)
    except OSError as error:
        raise StorageFault(f"{what}: {error}", where=server.endpoint_url) from error
    if status not in (200, 201, 409):
        raise StorageFault(
            f"{what}: the server answered {status}",
            where=server.endpoint_url,
            advice="use lower-case letters, digits and dashes",
        )


def _join_or_start(paths: ServerPaths, kind: str) -> tuple[socket.socket, wire.Inbox]:
    try:
        link = wire.join(paths.folder)
        if link is not None:
            return link, wire.Inbox(link)
        with locked(paths.start_lock):
            link = wire.join(paths.folder)
            if link is not None:
                return link, wire.Inbox(link)
            return _start(paths, kind)
    except OSError as error:
        raise file_fault(error, "reach the embedded server", str(paths.folder)) from error


def _start(paths: ServerPaths, kind: str) -> tuple[socket.socket, wire.Inbox]:
    """Start a supervisor and wait until others can join it."""
    link = spawn(paths, kind)
    inbox = wire.Inbox(link)
    link.settimeout(_CONNECT_LIMIT_S)
    try:
        greeting = inbox.wait_for_message()
    except BaseException:
        link.close()
        raise
    if greeting is None:
        link.close()
        raise StorageFault(
            f"the supervisor of the embedded {title_of(kind)} server ended without an answer",
            where=str(paths.folder),
            meaning=tail(paths.supervisor_log),
        )
    return link, _with_first(inbox, greeting)


class _Replayed(wire.Inbox):
    """An inbox whose first message is known."""

    def __init__(self, inbox: wire.Inbox, first: dict[str, Any]) -> None:
        self.__dict__.update(inbox.__dict__)
        self._first: dict[str, Any] | None = first

    def next_message(self) -> dict[str, Any] | None:
        first, self._first = self._first, None
        return first if first is not None else super().next_message()


def _with_first(inbox: wire.Inbox, greeting: dict[str, Any]) -> wire.Inbox:
    return inbox if "listening" in greeting else _Replayed(inbox, greeting)


def _raise_error(answer: dict[str, Any]) -> None:
    if "user_error" in answer:
        raise UserError(**answer["user_error"])
    if "error" in answer:
        raise StorageFault(**answer["error"])


def _ask(
    link: socket.socket,
    inbox: wire.Inbox,
    kind: str,
    lifeline: int | None,
    deadline: float,
) -> dict[str, Any] | None:
    """Say hello and wait for the answer; None when the supervisor was about to stop."""
    link.settimeout(max(1.0, deadline - time.monotonic()))
    try:
        if wire.peer_user(link) != os.geteuid():
            raise StorageFault("another user runs the embedded server of this folder")
        wire.send(link, {"kind": kind}, lifeline)
        answer = inbox.wait_for_message()
    except (ConnectionError, TimeoutError):
        return None
    link.settimeout(None)
    return answer

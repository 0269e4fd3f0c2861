"""The supervisor: owns the server of one data folder as long as it has users.

It runs in one thread, because the kernel ties the server's death signal to the thread that
started it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import selectors
import signal
import socket
import time
from typing import TYPE_CHECKING, Any, Final

from cm4storage.core.errors import StorageBenchmarkError, StorageFault, UserError
from cm4storage.storage.embedded import wire
from cm4storage.storage.embedded.kinds import KINDS, title_of
from cm4storage.storage.embedded.logs import tail
from cm4storage.storage.embedded.paths import ServerPaths
from cm4storage.storage.embedded.process import ServerProcess
from cm4storage.storage.embedded.users import Connection, HeldLifeline, held_lifeline

if TYPE_CHECKING:
    from pathlib import Path

_READY_LIMIT_S: Final = 60.0
_LOCK_LIMIT_S: Final = 30.0
_STARTS: Final = 3
_POLL_S: Final = 0.03
_PORT_TAKEN: Final = "address already in use"


def supervise(folder: Path, kind: str, first: socket.socket) -> int:
    """Run a server for `first` and all who join, until the last has gone.

    Returns
    -------
    int
        The exit code of the process.
    """
    paths = ServerPaths(folder)
    user = Connection(first)
    try:
        lock = _take_ownership(paths, user)
        if lock is None:
            return 0
        supervisor = Supervisor(paths, kind, lock)
        supervisor.add_user(user)
        user.tell({"listening": True})
        return supervisor.run()
    except (StorageBenchmarkError, OSError) as error:
        user.tell(_as_message(error, paths))
        raise


def _take_ownership(paths: ServerPaths, user: Connection) -> int | None:
    """Lock the folder, once the server before us has gone; None when we are not needed."""
    descriptor = os.open(paths.owner_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + _LOCK_LIMIT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            pass
        other = wire.join(paths.folder)
        if other is not None:
            other.close()
            user.tell({"retry": True})
            return None
        if _has_gone(user):
            return None
        if time.monotonic() > deadline:
            raise StorageFault(
                "a server that is stopping still holds the folder",
                where=str(paths.folder),
                advice=f"find it with `fuser {paths.owner_lock}`",
            )
        time.sleep(_POLL_S)


def _has_gone(user: Connection) -> bool:
    poll = select.poll()
    poll.register(user, select.POLLIN)
    try:
        return bool(poll.poll(0)) and user.link.recv(1, socket.MSG_PEEK) == b""
    except OSError:
        return True


class Supervisor:
    """The loop around one server and its users.

    Parameters
    ----------
    paths : ServerPaths
        The data folder's files.
    kind : str
        A name in `KINDS`.
    lock : int
        The descriptor of the folder's lock, held.
    """

    def __init__(self, paths: ServerPaths, kind: str, lock: int) -> None:
        self._paths = paths
        self._kind = kind
        self._lock = lock
        self._selector = selectors.DefaultSelector()
        self._users: set[Connection | HeldLifeline] = set()
        self._departed: list[Connection | HeldLifeline] = []
        self._server: ServerProcess | None = None
        self._access: dict[str, str] | None = None
        self._is_told_to_stop = False
        self._listener = wire.listen(paths.folder)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._listen_to_signals()

    def add_user(self, user: Connection | HeldLifeline) -> None:
        """Count `user` until it goes."""
        self._users.add(user)
        self._selector.register(user, selectors.EVENT_READ, lambda: self._hear(user))

    def run(self) -> int:
        """Start the server, serve the users, stop the server; return the exit code."""
        code = 0
        try:
            self._start_server()
            self._serve()
        except (StorageBenchmarkError, OSError) as error:
            self._tell_all(_as_message(error, self._paths))
            code = 1
        finally:
            self._stop_listening()
            if self._server is not None:
                self._server.stop()
                self._instance.clean_up()
        return code  # the process ends now, and with it the last user's wait

    def _start_server(self) -> None:
        """Start the server and wait until it is ready, or until nobody wants it any more."""
        if self._kind not in KINDS:
            raise StorageFault(f"unknown kind of embedded server: {self._kind}")
        deadline = time.monotonic() + _READY_LIMIT_S
        for attempt in range(_STARTS):
            self._launch()
            if self._wait_until_ready(deadline):
                return
            log = tail(self._paths.server_log, 40)
            if _PORT_TAKEN not in log or attempt == _STARTS - 1:
                raise self._startup_fault("died")
            self._discard_server()

    def _launch(self) -> None:
        self._instance = KINDS[self._kind].start(self._paths.folder)
        self._instance.prepare()
        self._server = ServerProcess(
            self._instance, self._paths.folder, self._paths.server_log, self._lock
        )
        self._selector.register(self._server.output, selectors.EVENT_READ, self._log_output)

    def _wait_until_ready(self, deadline: float) -> bool:
        """Return False if the server dies."""
        server = self._server
        while server is not None and self._is_wanted():
            if server.has_ended():
                return False
            if self._instance.is_ready():
                self._access = self._instance.access
                self._answer_all()
                return True
            if time.monotonic() > deadline:
                raise self._startup_fault(f"was not ready after {_READY_LIMIT_S:.0f} s")
            self._turn(_POLL_S)
        return True

    def _startup_fault(self, reason: str) -> StorageFault:
        return StorageFault(
            f"the embedded {title_of(self._kind)} server {reason}",
            where=str(self._paths.folder),
            meaning=tail(self._paths.server_log),
            advice="the lines above are the end of log/server.log in that folder",
        )

    def _discard_server(self) -> None:
        if self._server is not None:
            self._forget(self._server.output)
            self._server.stop()
            self._instance.clean_up()
        self._server = None

    def _serve(self) -> None:
        while self._is_wanted():
            if self._server is None or self._server.has_ended():
                raise self._startup_fault("died while in use")
            self._turn(None)

    def _is_wanted(self) -> bool:
        return bool(self._users) and not self._is_told_to_stop

    def _turn(self, timeout_s: float | None) -> None:
        events = self._selector.select(0 if self._departed else timeout_s)
        for key, _ in events:
            if key.fd in self._selector.get_map():  # a callback before may have removed it
                key.data()
        if not events:
            self._release_departed()

    def _accept(self) -> None:
        try:
            link, _ = self._listener.accept()
        except OSError:
            return
        user = Connection(link)
        if user.is_same_user():
            self.add_user(user)
        else:
            user.tell({"error": {"what": "the embedded server belongs to another user"}})
            user.close()

    def _hear(self, user: Connection | HeldLifeline) -> None:
        if not user.read():
            self._let_go(user)
        elif isinstance(user, Connection):
            for descriptor in user.take_descriptors():
                self._hold(descriptor)
            self._answer(user)

    def _let_go(self, user: Connection | HeldLifeline) -> None:
        """Count a user no longer; its descriptor stays open for now, because it may wait for it."""
        self._users.discard(user)
        self._selector.unregister(user)
        self._departed.append(user)

    def _release_departed(self) -> None:
        """Release users that have gone, once nobody else has gone at the same time.

        If those were the last, they are released by the end of this process: a run that waits for
        its lifeline then finds nothing left of what it used.
        """
        if self._users:
            for user in self._departed:
                user.close()
            self._departed.clear()

    def _hold(self, descriptor: int) -> None:
        """Count a run's lifeline as a user, once."""
        lifeline = held_lifeline(descriptor)
        if lifeline is None:
            return
        known = {user.identity for user in self._users if isinstance(user, HeldLifeline)}
        if lifeline.identity in known:
            lifeline.close()
        else:
            self.add_user(lifeline)

    def _answer(self, user: Connection) -> None:
        if self._access is None or user.asked_kind is None or user.is_answered:
            return
        user.is_answered = True
        if user.asked_kind == self._kind:
            user.tell(dict(self._access))
        else:
            what = f"the folder's embedded server is {self._kind}, not {user.asked_kind}"
            user.tell({"error": {"what": what, "where": str(self._paths.folder)}})

    def _answer_all(self) -> None:
        for user in self._users:
            if isinstance(user, Connection):
                self._answer(user)

    def _tell_all(self, message: dict[str, Any]) -> None:
        for user in self._users:
            if isinstance(user, Connection) and not user.is_answered:
                user.tell(message)

    def _log_output(self) -> None:
        if self._server is not None and not self._server.read_output():
            self._forget(self._server.output)

    def _forget(self, descriptor: int) -> None:
        with contextlib.suppress(KeyError):
            self._selector.unregister(descriptor)

    def _stop_listening(self) -> None:
        """Turn away who comes now: a connection that was not accepted is reset, and tries again."""
        self._paths.socket.unlink(missing_ok=True)
        self._selector.unregister(self._listener)
        self._listener.close()

    def _listen_to_signals(self) -> None:
        wake, self._waker = socket.socketpair()
        for end in (wake, self._waker):
            end.setblocking(False)
        self._selector.register(wake, selectors.EVENT_READ, lambda: self._drain(wake))
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # only to wake the loop
        signal.signal(signal.SIGTERM, self._note_stop)
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

    def _note_stop(self, *_: object) -> None:
        self._is_told_to_stop = True

    @staticmethod
    def _drain(wake: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            while wake.recv(4096):
                pass


def _as_message(error: Exception, paths: ServerPaths) -> dict[str, Any]:
    if isinstance(error, StorageBenchmarkError):
        parts = {"what": error.what, "where": error.where, "meaning": error.meaning}
        kind = "user_error" if isinstance(error, UserError) else "error"
        return {kind: parts | {"advice": error.advice}}
    what = f"the supervisor of the embedded server failed: {error}"
    return {"error": {"what": what, "where": str(paths.folder)}}

"""Processes of this machine that work for this one, and the connections to them."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import cm4storage
from cm4storage.core.errors import ExitCode, StorageBenchmarkError
from cm4storage.core.lifeline import RELEASE_TIMEOUT_S, Lifeline
from cm4storage.ranks.messages import Inbox, send

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from typing_extensions import Self

_END_S: Final = 5.0
"""How long a process may take to end when told to, and to be gone when its connection ends."""

_OTHER_FILES: Final = 200


class ProcessDied(StorageBenchmarkError):
    """A process ended without a word."""

    exit_code = ExitCode.TERMINATED


class LocalProcess:
    """One process, seen from the one that started it.

    Attributes
    ----------
    process : subprocess.Popen
    connection : socket
    inbox : Inbox
    is_done : bool
        Whether it has said that it has nothing left to do.
    """

    def __init__(self, process: subprocess.Popen[bytes], connection: socket.socket) -> None:
        self.process = process
        self.connection = connection
        self.inbox = Inbox(connection)
        self.is_done = False


class LocalProcesses:
    """Starts processes, connects them, and ends them.

    A context: at its end none is left. When this process dies, in whatever way, they see it by
    their lifeline and end, too.

    Parameters
    ----------
    module : str
        What ``python -m`` runs; it calls `cm4storage.ranks.local_rank.serve` with the descriptor
        in its ``--connection=N``.
    size : int
        How many processes.
    job : Any
        What each of them is told first, as JSON.
    kind : str
        What one of them is called in messages.
    inherited : sequence of int
        Descriptors that they get under the same numbers.
    """

    def __init__(
        self,
        module: str,
        size: int,
        job: Any,
        *,
        kind: str = "rank",
        inherited: Sequence[int] = (),
    ) -> None:
        self._module = module
        self._size = size
        self._job = job
        self._kind = kind
        self._inherited = tuple(inherited)
        self._lifeline = Lifeline()
        self._is_ended = False
        self.processes: list[LocalProcess] = []

    def __enter__(self) -> Self:
        self.start_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.end_all()

    def start_all(self) -> None:
        """Start all processes, or none."""
        try:
            _allow_descriptors(self._size + _OTHER_FILES)
            for number in range(self._size):
                self._start(number)
        except BaseException:
            self.end_all()
            raise

    def tell(self, number: int, message: dict[str, Any]) -> None:
        """Send a message to a process.

        Raises
        ------
        ProcessDied
            If it has gone.
        """
        try:
            send(self.processes[number].connection, message)
        except OSError as error:
            raise self.death(number) from error

    def messages(self, number: int) -> Iterator[dict[str, Any]]:
        """Take what a process has sent, waiting for the first byte, and yield its messages.

        Raises
        ------
        ProcessDied
            In the end, if the connection has ended before the process was done.
        """
        each = self.processes[number]
        is_open = each.inbox.receive()
        yield from each.inbox.messages()
        if not is_open and not each.is_done:
            raise self.death(number)

    def death(self, number: int) -> StorageBenchmarkError:
        """Return the error that tells how a process has ended."""
        try:
            code = self.processes[number].process.wait(_END_S)
        except subprocess.TimeoutExpired:
            code = 0
        if code < 0:
            how = f"was killed by signal {-code} ({signal.Signals(-code).name})"
        else:
            how = f"ended with exit code {code}"
        return ProcessDied(
            f"{self.name(number)} {how}; all others were ended",
            meaning=f"a run goes on only with each {self._kind}",
            advice="look for the cause in the lines above, or in the kernel's log: "
            "SIGKILL is what it sends when memory is short",
        )

    def name(self, number: int) -> str:
        """Return what a process is called in messages."""
        return f"{self._kind} {number} of {self._size}"

    def end_all(self) -> None:
        """Ask all that are left to end, and after some seconds make them.

        One that the kernel does not let go, in a read from a dead disk, is left to it.
        """
        if self._is_ended:
            return
        self._is_ended = True
        try:
            self._end_processes()
        finally:
            for each in self.processes:
                each.connection.close()
            are_gone = all(each.process.poll() is not None for each in self.processes)
            self._lifeline.release(RELEASE_TIMEOUT_S if are_gone else 0.0)

    def _end_processes(self) -> None:
        for each in self.processes:
            if not each.is_done:
                each.process.terminate()
        until_s = time.monotonic() + _END_S
        for each in self.processes:
            try:
                each.process.wait(max(0.0, until_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                each.process.kill()
        until_s = time.monotonic() + _END_S
        for each in self.processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                each.process.wait(max(0.0, until_s - time.monotonic()))

    def _start(self, number: int) -> None:
        """Start a process. One that an interrupt keeps out of our list has the lifeline, too."""
        with contextlib.ExitStack() as stack:
            ours, theirs = socket.socketpair()
            stack.callback(ours.close)
            with theirs:
                process = self._process(theirs.fileno())
            self.processes.append(LocalProcess(process, ours))
            stack.pop_all()
        self.tell(number, {"rank": number, "size": self._size, "job": self._job})

    def _process(self, connection: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", self._module, f"--connection={connection}"],
            stdin=subprocess.DEVNULL,
            cwd="/",  # where no module can be mistaken for one of ours
            start_new_session=True,  # an interrupt from the terminal comes to us alone
            env=_environment() | self._lifeline.environment(),
            pass_fds=[connection, self._lifeline.child_descriptor, *self._inherited],
        )


def _allow_descriptors(count: int) -> None:
    """Raise this process's limit of open files, as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _environment() -> dict[str, str]:
    """Return our environment, in which a rank finds the same source as we run.

    No rank has threads for numpy's BLAS, which it does not use: there would be as many of them as
    cores, in each.
    """
    root = Path(cm4storage.__file__).resolve().parents[1]
    variables = {"OPENBLAS_NUM_THREADS": "1"} | os.environ
    if root.name not in ("site-packages", "dist-packages"):
        known = variables.get("PYTHONPATH")
        variables["PYTHONPATH"] = f"{root}{os.pathsep}{known}" if known else str(root)
    return variables

"""run.sh: started so that nothing in the environment is executed and nothing outlives the run."""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cm4storage.core.errors import StorageFault, UserError
from cm4storage.core.waiting import TURN_S
from cm4storage.scripting.failures import Interrupted, shell_status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cm4storage.core.lifeline import Lifeline
    from cm4storage.scripting.relay import Relay
    from cm4storage.scripting.signals import SignalGuard

GRACE_S = 10.0
"""How long a process may take to end after it was asked to."""

_REST_GRACE_S = 1.0

# The environment comes from the parent process, never from text that a shell reads. The watcher
# kills the process group when the engine has died, which closes its end of the pipe. run.sh gets a
# subshell, so that a plain `wait` in it does not wait for the watcher, and an `exit` in it leaves
# the outer shell to end and reap the watcher. The traps make bash end after the running command
# when the group gets a signal, instead of going on with the next line.
_WRAPPER = """\
( trap '' INT TERM HUP
  exec >/dev/null 2>&1
  IFS= read -r -u {descriptor} never_comes || kill -KILL 0 ) &
_cm_watcher=$!
exec {descriptor}<&-
trap 'exec >/dev/null 2>&1; kill -KILL "$_cm_watcher"; wait "$_cm_watcher"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP
( unset _cm_watcher
  trap 'exit 130' INT
  trap 'exit 143' TERM
  trap 'exit 129' HUP
  . {script} )
"""


def run_script(
    script: Path,
    wrapper: Path,
    environment: Mapping[str, str],
    lifeline: Lifeline,
    guard: SignalGuard,
    *,
    relay: Relay | None = None,
) -> int:
    """Source `script` in bash and return its exit code as a shell shows it.

    Parameters
    ----------
    wrapper : Path
        The file to write for bash; the script runs in its folder.
    relay : Relay, optional
        Carries the output. Without one, the script writes to this process's own descriptors.

    Raises
    ------
    Interrupted
        If a signal came; by then the script and its children have ended.
    UserError
        If there is no bash, or the environment is too large for a process.
    """
    bash = shutil.which("bash", path=environment.get("PATH"))
    if bash is None:
        raise UserError("bash is not installed", where=str(script), advice="apt install bash")
    watched, held = os.pipe()
    try:
        text = _WRAPPER.format(descriptor=watched, script=shlex.quote(str(script)))
        wrapper.write_bytes(os.fsencode(text))
        process = _start(
            [bash, str(wrapper)],
            wrapper.parent,
            environment,
            lifeline,
            watched,
            (relay.stdout, relay.stderr) if relay else (None, None),
        )
        if relay is not None:
            relay.begin(process.pid)
        try:
            with guard.interruptible():
                _wait(process)
            _end_rest(process.pid)
            if relay is not None:
                with guard.interruptible():
                    relay.finish()
        except Interrupted as interrupted:
            _stop(process, interrupted.signum, guard)
            raise
        return shell_status(process.returncode)
    finally:
        os.close(watched)
        os.close(held)  # if bash was killed, its watcher now ends what is left


def _start(
    command: list[str],
    folder: Path,
    environment: Mapping[str, str],
    lifeline: Lifeline,
    watched: int,
    streams: tuple[int | None, int | None],
) -> subprocess.Popen[bytes]:
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        return subprocess.Popen(
            command,
            cwd=folder,
            env={**environment, **lifeline.environment()},
            stdin=None if sys.stdin is not None and sys.stdin.isatty() else subprocess.DEVNULL,
            stdout=streams[0],
            stderr=streams[1],
            pass_fds=(lifeline.child_descriptor, watched),
            start_new_session=True,  # a process group of its own, to be ended as a whole
        )
    except OSError as error:
        too_large = "Argument list too long" in str(error)
        cause = "the environment is too large for a process" if too_large else str(error)
        kind = UserError if too_large else StorageFault
        raise kind("cannot start a process", where=shlex.join(command), meaning=cause) from error


def _wait(process: subprocess.Popen[bytes]) -> None:
    """Wait for the process in turns, so that a signal's handler always gets to run."""
    if not hasattr(os, "pidfd_open"):
        process.wait()
        return
    try:
        descriptor = os.pidfd_open(process.pid)
    except OSError:  # a kernel before 5.3
        process.wait()
        return
    poll = select.poll()  # select() knows no descriptor above 1023
    poll.register(descriptor, select.POLLIN)
    try:
        while not poll.poll(TURN_S * 1000):
            pass
    finally:
        os.close(descriptor)
    process.wait()


def _stop(process: subprocess.Popen[bytes], signum: int, guard: SignalGuard) -> None:
    """Forward the signal to the whole group; kill what is left after `GRACE_S` seconds.

    A second signal from an impatient user ends the grace at once.
    """
    deadline_s = time.monotonic() + GRACE_S
    _signal_group(process.pid, signum)
    signals_seen = guard.count
    while time.monotonic() < deadline_s and guard.count == signals_seen:
        if process.poll() is not None and not _group_runs(process.pid):
            return
        time.sleep(0.01)
    _kill_group(process.pid)
    process.wait()


def _kill_group(group: int) -> None:
    """Kill the group and wait until it has gone, and with it all that its processes hold."""
    _signal_group(group, signal.SIGKILL)
    deadline_s = time.monotonic() + _REST_GRACE_S
    while _group_runs(group) and time.monotonic() < deadline_s:
        time.sleep(0.01)


def _end_rest(group: int) -> None:
    """End what a script has left in the background; nobody waits for it or reads its output."""
    if not _group_runs(group):
        return
    _signal_group(group, signal.SIGTERM)
    deadline_s = time.monotonic() + _REST_GRACE_S
    while time.monotonic() < deadline_s:
        if not _group_runs(group):
            return
        time.sleep(0.01)
    _kill_group(group)


def identity_of_descriptor(descriptor: int) -> str:
    """Return the name under which ``/proc`` shows an open descriptor; "" where there is none."""
    with contextlib.suppress(OSError):
        return str(Path(f"/proc/self/fd/{descriptor}").readlink())
    return ""


def holders_of(identity: str) -> list[int]:
    """Return the processes, but this one, that hold what `identity_of_descriptor` named."""
    found = []
    for folder in Path("/proc").glob("[0-9]*") if identity else ():
        with contextlib.suppress(OSError):
            if folder.name != str(os.getpid()) and any(
                str(link.readlink()) == identity for link in (folder / "fd").iterdir()
            ):
                found.append(int(folder.name))
    return sorted(found)


def _signal_group(group: int, signum: int) -> bool:
    try:
        os.killpg(group, signum)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _group_runs(group: int) -> bool:
    """Tell whether a process of the group is left that is not merely waiting to be reaped."""
    if not _signal_group(group, 0):
        return False
    if not Path("/proc/self/stat").exists():
        return True
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError):
            # The fields after the name in parentheses (proc(5)): state, parent, group, ...
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            if fields[2] == str(group) and not _has_ended(fields):
                return True
    return False


def _has_ended(fields: list[str]) -> bool:
    """Tell it of a process; one whose main thread has ended is a zombie while others run on."""
    state, threads = fields[0], int(fields[17])
    return state in "ZX" and threads <= 1

"""Ctrl-C and SIGTERM end a call to a service that never answers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading

import pytest
from server_processes import SOURCE

from cm4storage.storage import interruptible

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "SK"}
PROGRAM = """
import signal, sys
from cm4storage.storage.objects import s3_service, service
from cm4storage.storage.check import check_store
from cm4storage.storage.diagnosis import cleaning
from cm4storage.storage.location import StoreLocation
from cm4storage.storage.objects.store import ObjectStore
service.READ_TIMEOUT_S = 3600.0
cleaning.SILENCE_LIMIT_S = 0.5
class Stopped(BaseException):
    pass
def stop(*_):
    raise Stopped
signal.signal(signal.SIGTERM, stop)
store = ObjectStore("bucket", "", s3_service.S3Service(sys.argv[1], "AK", "SK"))
large = (memoryview(bytes(2**20)) for _ in range(64))
calls = {
    "read": lambda: store.read("key").__enter__(),
    "read_into": lambda: store.read_into("key", memoryview(bytearray(9))),
    "write": lambda: store.write("key", [memoryview(b"x")]),
    "write in parts": lambda: store.write("key", large),
    "stat": lambda: store.stat("key"),
    "list": lambda: list(store.list()),
    "folders": lambda: list(store.folders()),
    "delete": lambda: store.delete("key"),
    "check": lambda: check_store(StoreLocation.parse("s3://bucket", endpoint_url=sys.argv[1])),
}
try:
    calls[sys.argv[2]]()
except (KeyboardInterrupt, Stopped) as error:
    print(type(error).__name__)
"""


AT_EACH_STEP = """
import os, signal, sys, time
from cm4storage.storage import interruptible
class Stopped(BaseException):
    pass
def outcome_of(step):
    steps = 0
    def trace(frame, event, _):
        nonlocal steps
        frame.f_trace_opcodes = True
        if event == "opcode":
            steps += 1
            if steps == step:
                raise Stopped
        return trace
    sys.settrace(trace)
    try:
        interruptible.call(lambda: time.sleep(0.005))
    except Stopped:
        return 1
    return 0
step, pid = 1, 1
while True:
    pid = os.fork()
    if not pid:
        signal.alarm(60)
        os._exit(outcome_of(step))  # any other error ends with a traceback, and with 1, too
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status != 1:
        print(step, status)
        break
    step += 1
"""


def test_what_a_handler_raises_comes_out_as_itself_at_whatever_step_it_is_raised() -> None:
    done = subprocess.run(
        [sys.executable, "-c", AT_EACH_STEP], capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
    )  # fmt: skip
    steps, status = map(int, done.stdout.split())
    assert done.stderr == ""
    assert steps > 20, "it ended before there was much to interrupt"
    assert status == 0


@pytest.mark.parametrize(
    ("call", "number", "said"),
    [
        ("read", signal.SIGTERM, "Stopped"),
        ("read", signal.SIGINT, "KeyboardInterrupt"),
        ("read_into", signal.SIGINT, "KeyboardInterrupt"),
        ("write", signal.SIGINT, "KeyboardInterrupt"),
        ("write in parts", signal.SIGTERM, "Stopped"),
        ("stat", signal.SIGINT, "KeyboardInterrupt"),
        ("list", signal.SIGINT, "KeyboardInterrupt"),
        ("folders", signal.SIGINT, "KeyboardInterrupt"),
        ("delete", signal.SIGINT, "KeyboardInterrupt"),
        ("check", signal.SIGINT, "KeyboardInterrupt"),
    ],
)
def test_a_silent_service_does_not_hold_up_a_signal(
    call: str, number: signal.Signals, said: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, endpoint, call],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | CREDENTIALS | {"PYTHONPATH": str(SOURCE)},
        )
        link, _ = listener.accept()
        with link:
            assert link.recv(100)
            process.send_signal(number)
            try:
                # The answer would come never: any end at all is due to the signal.
                output, errors = process.communicate(timeout=120)
            finally:
                process.kill()
    assert (output, errors, process.returncode) == (f"{said}\n", "", 0)


def test_results_and_errors_come_through() -> None:
    assert interruptible.call(lambda: [1, 2]) == [1, 2]
    assert interruptible.call(lambda: None) is None
    with pytest.raises(LookupError, match="no such thing"):
        interruptible.call(lambda: missing("no such thing"))


def missing(text: str) -> None:
    raise LookupError(text)


def test_reader_threads_call_directly() -> None:
    seen: list[int] = []

    def read() -> None:
        seen.append(interruptible.call(threading.get_ident))
        seen.append(threading.get_ident())

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    assert seen[0] == seen[1]
    assert interruptible.call(threading.get_ident) != threading.get_ident()

"""The end of a check: remove what it has written, and say what may be left."""

from __future__ import annotations

import shlex
import threading
import time
import traceback
from typing import TYPE_CHECKING, Final

from cm4storage.core.units import format_count
from cm4storage.core.waiting import TURN_S
from cm4storage.storage.diagnosis.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Callable

    from cm4storage.storage.diagnosis.ledger import Ledger
    from cm4storage.storage.location import StoreLocation

SILENCE_LIMIT_S: Final = 8.0
"""How long a storage may neither end a writing nor remove a key before it is not waited for.

A busy service takes seconds for an object. Who breaks off the check of a silent one does not want
to wait for good.
"""


def clean_up(ledger: Ledger, clean: Callable[[], None], between: Callable[[], None]) -> None:
    """Clean up in a thread of its own, as long as the storage gets on with it.

    Parameters
    ----------
    ledger : Ledger
        What there is to be removed.
    clean : callable
        Removes it.
    between : callable
        Called while waiting; what it raises ends the waiting.
    """
    task = _Task(clean)
    threading.Thread(target=task.run, name="clean up", daemon=True).start()
    steps, since_s = ledger.steps, time.perf_counter()
    # In turns, so that the handler of a second signal can run.
    while not task.done.wait(TURN_S):
        between()
        if ledger.steps != steps:
            steps, since_s = ledger.steps, time.perf_counter()
        elif time.perf_counter() - since_s > SILENCE_LIMIT_S:
            return
    between()
    if task.defect is not None:
        raise task.defect


def clean_in_a_hurry(
    ledger: Ledger,
    clean: Callable[[], None],
    find: Callable[[], Finding],
    tell: Callable[[Finding], None],
) -> None:
    """Clean up whatever has been asked of this process: what is under way is to be raised.

    So a defect of the cleaning is told, not raised. A second signal is.

    Parameters
    ----------
    ledger, clean
        See `clean_up`.
    find : callable
        Returns what the cleaning has come to.
    tell : callable
        Takes what is found where it is no good, and a defect.
    """
    defect: Exception | None = None
    try:
        clean_up(ledger, clean, lambda: None)
    except Exception as error:  # noqa: BLE001 - told
        defect = error
    finally:
        if defect is not None:
            tell(_finding_of_defect(defect))
        finding = find()
        if finding.status == "failed":
            tell(finding)


def _finding_of_defect(defect: Exception) -> Finding:
    frame = traceback.extract_tb(defect.__traceback__)[-1]
    return Finding(
        "clean up",
        "failed",
        text=f"it ended in {type(defect).__name__}: {defect}",
        where=f"{frame.filename}, line {frame.lineno}, in {frame.name}",
        meaning="this is a defect of cm4storage",
        advice="report this, and how the check was called",
    )


class _Task:
    def __init__(self, clean: Callable[[], None]) -> None:
        self._clean = clean
        self.done = threading.Event()
        self.defect: BaseException | None = None

    def run(self) -> None:
        try:
            self._clean()
        except BaseException as error:  # noqa: BLE001 - raised again by who waits
            self.defect = error
        finally:
            self.done.set()


def finding_of(ledger: Ledger, location: StoreLocation, name: str) -> Finding:
    """Return what the cleaning has come to.

    Parameters
    ----------
    ledger : Ledger
        With what may be left.
    location : StoreLocation
        Where.
    name : str
        The folder of all keys, or the only key.
    """
    left = ledger.left
    if not left:
        return Finding("clean up", "ok", text="nothing is left behind")
    fault = ledger.fault
    command = _removing_one(location, name) if left == [name] else _removing_all(location, name)
    return Finding(
        "clean up",
        "failed",
        text=f"{format_count(len(left), 'object')} of this check may still be there",
        where=f"{location.uri}/{name}",
        meaning=fault.what if fault else "the check ended before the storage was done with them",
        advice=f"remove what is there: {command}{_options(location)}",
    )


def _removing_one(location: StoreLocation, key: str) -> str:
    if location.is_folder:
        return f"rm {shlex.quote(str(location.path / key))}"
    if location.scheme == "s3":
        return f"aws s3 rm {shlex.quote(f'{location.uri}/{key}')}"
    name = shlex.quote(_prefixed(location, key))
    return f"az storage blob delete --container-name={location.bucket} --name={name}"


def _removing_all(location: StoreLocation, folder: str) -> str:
    if location.is_folder:
        return f"rm -r {shlex.quote(str(location.path / folder))}"
    if location.scheme == "s3":
        return f"aws s3 rm --recursive {shlex.quote(f'{location.uri}/{folder}')}"
    pattern = shlex.quote(_prefixed(location, f"{folder}/*"))
    return f"az storage blob delete-batch --source={location.bucket} --pattern={pattern}"


def _prefixed(location: StoreLocation, key: str) -> str:
    return f"{location.prefix}/{key}".lstrip("/")


def _options(location: StoreLocation) -> str:
    """Return what the commands of object services need to know of where it is."""
    kind = "s3" if location.scheme == "s3" else "azure"
    if location.endpoint_url:
        option = "--endpoint-url" if kind == "s3" else "--blob-endpoint"
        return f" {option}={shlex.quote(location.endpoint_url)}"
    if location.server_dir:
        server = f"cm4storage serve {kind} --server_dir={shlex.quote(str(location.server_dir))}"
        return f" (with the variables that `{server}` shows)"
    return ""

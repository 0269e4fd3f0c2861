"""Ask one probe after the other, each within its time, and leave nothing behind."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from cm4storage.core.errors import StorageBenchmarkError
from cm4storage.core.waiting import STOP, TURN_S
from cm4storage.storage.diagnosis.bench import Bench
from cm4storage.storage.diagnosis.catalogue import probes_for
from cm4storage.storage.diagnosis.cleaning import clean_in_a_hurry, clean_up, finding_of
from cm4storage.storage.diagnosis.findings import Diagnosis, Finding, NotTried
from cm4storage.storage.diagnosis.ledger import GivenUp
from cm4storage.storage.file_faults import file_fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from cm4storage.core.errors import StorageFault
    from cm4storage.storage.diagnosis.findings import Probe
    from cm4storage.storage.location import StoreLocation

# Time for an overdue probe to drop what it is writing, before the next one is asked.
_DROP_LIMIT_S: Final = 3.0


def diagnose(
    location: StoreLocation,
    tell: Callable[[Finding], None],
    *,
    tell_left: Callable[[Finding], None] | None = None,
    share_lifeline: bool = False,
) -> Diagnosis:
    """Find out what can be done at `location`, and leave nothing behind.

    A signal breaks it off: it cleans up, as long as the storage gets on with it, and raises what
    the signal's handler has raised. A second signal ends the cleaning, too.

    Parameters
    ----------
    location : StoreLocation
        Where.
    tell : callable
        Takes each finding as soon as it is there.
    tell_left : callable, optional
        Takes what may be left when the check was broken off; default `tell`.
    share_lifeline : bool
        See `open_store`.
    """
    begin = time.perf_counter()
    bench = Bench(location, share_lifeline=share_lifeline)
    findings: list[Finding] = []

    def note(finding: Finding) -> None:
        findings.append(finding)
        tell(finding)

    with bench.resources:
        try:
            _ask_all(bench, note)
        except BaseException:
            clean_in_a_hurry(bench.ledger, bench.clean, lambda: _cleaned(bench), tell_left or tell)
            raise
    return Diagnosis(location.uri, tuple(findings), time.perf_counter() - begin)


def _ask_all(bench: Bench, note: Callable[[Finding], None]) -> None:
    good: set[str] = set()
    for probe in probes_for(bench.location):
        missing = next((name for name in probe.needs if name not in good), None)
        if missing is not None:
            note(Finding(probe.name, "not tried", text=f"needs: {missing}"))
            continue
        finding = _Errand(probe, bench).finding()
        if finding.status == "ok":
            good.add(probe.name)
        note(finding)
    if bench.access is not None:
        begin_s = time.perf_counter()
        clean_up(bench.ledger, bench.clean, STOP.check)
        note(replace(_cleaned(bench), elapsed_s=time.perf_counter() - begin_s))


def _cleaned(bench: Bench) -> Finding:
    return finding_of(bench.ledger, bench.location, bench.folder)


class _Errand:
    """A probe in a thread of its own, which a signal or the end of its time leaves to itself."""

    def __init__(self, probe: Probe, bench: Bench) -> None:
        self._probe = probe
        self._bench = bench
        self._stopping = bench.stopping = threading.Event()
        self._done = threading.Event()
        self._finding = Finding(probe.name, "failed")
        self._defect: BaseException | None = None
        self._begin_s = time.perf_counter()
        threading.Thread(target=self._run, name=f"probe: {probe.name}", daemon=True).start()

    def finding(self) -> Finding:
        """Wait for the finding, as long as the probe may take."""
        if not self._is_done_within(self._probe.limit_s):
            return self._overdue()
        if self._defect is not None:
            raise self._defect
        return self._finding

    def _is_done_within(self, limit_s: float) -> bool:
        end_s = time.perf_counter() + limit_s
        while not self._done.wait(TURN_S):
            STOP.check()
            if time.perf_counter() > end_s:
                return False
        STOP.check()
        return True

    def _elapsed_s(self) -> float:
        return time.perf_counter() - self._begin_s

    def _overdue(self) -> Finding:
        """Let the probe drop what it is writing; the cleaning waits for what it has not."""
        elapsed_s = self._elapsed_s()
        self._stopping.set()
        self._is_done_within(_DROP_LIMIT_S)
        return Finding(
            self._probe.name,
            "failed",
            elapsed_s,
            f"no answer within {self._probe.limit_s:.0f} s",
            where=self._bench.where(),
            meaning="the storage hangs, or is far slower than one that can be measured",
            advice="check the service's log or the mount's server, and the network between",
        )

    def _run(self) -> None:
        name = self._probe.name
        try:
            seen = self._probe.ask(self._bench)
            self._finding = Finding(name, "ok", text=seen.text, figures=seen.figures)
        except NotTried as reason:
            self._finding = Finding(name, "not tried", text=str(reason))
        except StorageBenchmarkError as error:
            self._finding = _failed(name, error)
        except GivenUp:
            pass
        except OSError as error:
            self._finding = _failed(name, self._fault_of(error))
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            self._defect = error
        finally:
            self._finding = replace(self._finding, elapsed_s=self._elapsed_s())
            self._done.set()

    def _fault_of(self, error: OSError) -> StorageFault:
        where = error.filename if isinstance(error.filename, str) else self._bench.where()
        fault = file_fault(error, f"find out about: {self._probe.name}", where)
        fault.advice = fault.advice or "look at `dmesg` and the service's log"
        return fault


def _failed(name: str, error: StorageBenchmarkError) -> Finding:
    return Finding(name, "failed", 0.0, error.what, {}, error.where, error.meaning, error.advice)

"""Ask one probe after the other, each within its time, and leave nothing behind."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from cm4storage.core.errors import StorageBenchmarkError, StorageFault
from cm4storage.core.units import format_count
from cm4storage.core.waiting import STOP, TURN_S
from cm4storage.storage.diagnosis.bench import Bench, GivenUp
from cm4storage.storage.diagnosis.catalogue import probes_for
from cm4storage.storage.diagnosis.findings import (
    Diagnosis,
    Finding,
    NotTried,
    Observation,
    Probe,
)
from cm4storage.storage.file_faults import file_fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from cm4storage.storage.location import StoreLocation

# Who interrupts the check of a silent service does not want to wait for it again.
_HURRIED_LIMIT_S: Final = 3.0
# A busy service may take seconds to remove an object; a second Ctrl-C ends the waiting.
_SILENCE_LIMIT_S: Final = 8.0


def diagnose(
    location: StoreLocation,
    tell: Callable[[Finding], None],
    *,
    share_lifeline: bool = False,
) -> Diagnosis:
    """Find out what can be done at `location`.

    Parameters
    ----------
    location : StoreLocation
        Where.
    tell : callable
        Takes each finding as soon as it is there.
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
        _ask_all(bench, note)
    return Diagnosis(location.uri, tuple(findings), time.perf_counter() - begin)


def _ask_all(bench: Bench, note: Callable[[Finding], None]) -> None:
    good: set[str] = set()
    errand: _Errand | None = None
    try:
        for probe in probes_for(bench.location):
            missing = next((name for name in probe.needs if name not in good), None)
            if missing is not None:
                note(Finding(probe.name, "not tried", text=f"needs: {missing}"))
                continue
            errand = _Errand(probe, bench)
            finding = errand.finding()
            if finding.status == "ok":
                good.add(probe.name)
            note(finding)
        if bench.access is not None:
            note(_Errand(_CLEAN_UP, bench).finding())
    except BaseException:
        if errand is not None:
            errand.give_up()
        _clean_in_a_hurry(bench)
        raise


def _clean_in_a_hurry(bench: Bench) -> None:
    """Clean up as long as the storage answers, whatever has been asked of this process."""
    errand, before = _Errand(_CLEAN_UP, bench), -1
    while not errand.ends_within(_SILENCE_LIMIT_S) and bench.removed > before:
        before = bench.removed


def _clean(bench: Bench) -> Observation:
    left = bench.clean()
    if left:
        raise StorageFault(
            f"{format_count(len(left), 'object')} of this check could not be removed",
            where=bench.where(left[0]),
            advice=f"remove what is below {bench.where(bench.folder)}",
        )
    return Observation("nothing is left behind")


_CLEAN_UP: Final = Probe("clean up", _clean)


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
        while not self._done.wait(TURN_S):
            STOP.check()
            if self._elapsed_s() > self._probe.limit_s:
                return self._overdue()
        if self._defect is not None:
            raise self._defect
        return self._finding

    def _elapsed_s(self) -> float:
        return time.perf_counter() - self._begin_s

    def ends_within(self, limit_s: float) -> bool:
        """Wait for its end, whatever has been asked of this process meanwhile."""
        return self._done.wait(limit_s)

    def give_up(self) -> None:
        """Let the probe drop what it is writing."""
        self._stopping.set()
        self.ends_within(_HURRIED_LIMIT_S)

    def _overdue(self) -> Finding:
        elapsed_s = self._elapsed_s()
        self.give_up()
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

"""The points of a sweep, and the key under which each is found again."""

from __future__ import annotations

import json
import os
import platform
import shlex
import tempfile
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cm4storage
from cm4storage.core.canonical import digest, sha256
from cm4storage.core.errors import StorageFault, UsageError, UserError
from cm4storage.core.files import locked
from cm4storage.dataset.identity import Identity
from cm4storage.results.comparing.context import machine_of
from cm4storage.results.environment import machine, versions
from cm4storage.results.report_reading import SCHEMA_FILE, read_report
from cm4storage.sweep.axes import product
from cm4storage.workload.resolve import resolve
from cm4storage.workload.rules import require_training
from cm4storage.workload.schema import canonical_path

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from cm4storage.loader.limits import Conduct, Limits
    from cm4storage.storage.location import StoreLocation
    from cm4storage.sweep.axes import Axis
    from cm4storage.workload.resolve import Request
    from cm4storage.workload.resolved import Resolved

KEY_VERSION = 2
"""Of the key, and of how a point is run: no point of version 1 had plugins."""

_NO_INFLUENCE = frozenset({"cli", "node", "repo", "report", "scripting", "sweep"})
"""Parts of the package that neither read nor measure."""
_NO_PART = frozenset({"cm4storage", "cmind", "rich", "jsonschema"})
"""Packages that neither read nor measure; the code of this one has a digest of its own."""


@dataclass(frozen=True)
class Setup:
    """What all points of a sweep share.

    Attributes
    ----------
    request : Request
        The workload before a point changes it.
    place : StoreLocation
        Where data sets are kept.
    """

    request: Request
    place: StoreLocation
    limits: Limits
    conduct: Conduct
    command: str


@dataclass(frozen=True)
class Point:
    """One run of a sweep.

    Attributes
    ----------
    values : dict
        By key, as the user wrote them.
    repeat : int
        Which of the repeated runs, from 1.
    resolved : Resolved
        The workload.
    key : str
        What it is found again by: a digest of all that its result depends on.
    """

    values: dict[str, str]
    repeat: int
    resolved: Resolved
    key: str

    @property
    def title(self) -> str:
        """The point in a few words."""
        return " ".join(f"{key}={value}" for key, value in self.values.items())


def points_of(setup: Setup, axes: Sequence[Axis], repeats: int) -> list[Point]:
    """Return all points, checked: round by round, so that a drift of the machine meets all alike.

    Raises
    ------
    UserError
        If the workload of any point cannot be run, or two points are the same.
    """
    if setup.request.seed is not None and "train.seed" in _canonical(axes):
        raise UsageError("--seed takes the place of train.seed, which is swept", advice="drop one")
    resolved = []
    for values in product(axes):
        overrides = shlex.join(f"{key}={value}" for key, value in values.items())
        params = f"{setup.request.params} {overrides}".strip()
        at_point = resolve(replace(setup.request, params=params))
        require_training(at_point.workload, at_point.source)
        resolved.append((values, at_point))
    shared = _shared_facts()
    points = [
        Point(values, repeat, at_point, _key(setup, at_point, {**shared, "repeat": repeat}))
        for repeat in range(1, repeats + 1)
        for values, at_point in resolved
    ]
    _refuse_twins(points[: len(resolved)])
    return points


def _canonical(axes: Sequence[Axis]) -> set[str]:
    return {canonical_path(axis.key) for axis in axes}


def _refuse_twins(points: Sequence[Point]) -> None:
    """Refuse values that make the same workload, such as 2 and 02: one run would count twice.

    Raises
    ------
    UsageError
    """
    known: dict[str, Point] = {}
    for point in points:
        other = known.setdefault(point.key, point)
        if other is not point:
            raise UsageError(
                f"--sweep: two points are the same: {other.title}, and {point.title}",
                advice="name each value once; --repeat=N runs each point N times",
            )


def _shared_facts() -> dict[str, Any]:
    """Return what the results of all points depend on beside workload, place and limits."""
    return {
        "code": code_digest(),
        "machine": machine_of(machine()),
        "kernel": platform.release(),
        "versions": {name: each for name, each in versions().items() if name not in _NO_PART},
    }


def _key(setup: Setup, resolved: Resolved, facts: dict[str, Any]) -> str:
    place = setup.place
    return digest(
        {
            "version": KEY_VERSION,
            "workload": resolved.workload.digest(),
            "data_set": Identity.of(resolved.workload).digest,
            "place": [place.uri, place.endpoint_url, str(place.server_dir or ""), place.client],
            "limits": asdict(setup.limits),
            "conduct": asdict(setup.conduct),
            **facts,
        }
    )[:16]


@cache
def _fields_of_reports() -> frozenset[str]:
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    return frozenset(schema["required"])


def code_digest(package: Path | None = None) -> str:
    """Return a digest of the code that a run's result depends on."""
    root = package or Path(cm4storage.__file__).parent
    hasher = sha256()
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root)
        if name.parts[0] not in _NO_INFLUENCE:
            hasher.update(f"{name.as_posix()} {path.stat().st_size} ".encode())
            hasher.update(path.read_bytes())
    return hasher.hexdigest()


@dataclass(frozen=True)
class Pool:
    """The folder in which finished points are kept, each under its key."""

    folder: Path

    def of(self, point: Point) -> Path:
        """Return the folder of a point, which exists only when the point is finished."""
        return self.folder / point.key

    def has(self, point: Point) -> bool:
        """Tell whether a point is finished: whether its report can be read."""
        return self.report(point) is not None

    def report(self, point: Point) -> dict[str, Any] | None:
        """Return the report of a point; None where it is not finished, or its report is damaged."""
        try:
            report = read_report(self.of(point) / "report.json")
        except UserError:
            return None
        return report if report.keys() >= _fields_of_reports() else None

    def make_room(self, point: Point) -> Path | None:
        """Set aside what stands in the place of a point that is not finished; return where it is.

        Raises
        ------
        StorageFault
            If it cannot be moved.
        """
        place = self.of(point)
        if not os.path.lexists(place):
            return None
        try:
            aside = Path(tempfile.mkdtemp(prefix=f".damaged-{point.key}-", dir=self.folder))
            return place.rename(aside / place.name)
        except OSError as error:
            raise StorageFault(
                f"cannot set aside a damaged point: {error.strerror}",
                where=str(place),
                advice="remove it, and run the sweep again",
            ) from error

    def locked(self, on_wait: Callable[[], None]) -> AbstractContextManager[None]:
        """Hold the pool alone: two sweeps at a time would measure each other."""
        return locked(self.folder / ".lock", on_wait)

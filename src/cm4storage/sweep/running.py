"""Run the points of a sweep that are not finished yet."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from cm4storage.checkpoint.choosing import plugins_of
from cm4storage.core.progress import NoProgress
from cm4storage.core.units import format_count
from cm4storage.dataset.preparation import prepare
from cm4storage.loader.benchmark import Job, run_benchmark
from cm4storage.loader.limits import Limits
from cm4storage.loader.results_folder import unfinished_folder
from cm4storage.results import figures
from cm4storage.results.report_files import write_report_files
from cm4storage.results.summary import write_dlio_files
from cm4storage.results.time_series import FILE_NAME
from cm4storage.storage.opening import open_store

_WARM_UP = Limits(max_epochs=1, max_steps=2)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from cm4storage.core.progress import Progress
    from cm4storage.plugins.lifecycle import Plugin
    from cm4storage.sweep.plan import Point, Pool, Setup

    Say = Callable[[str], None]


def run_points(
    points: Sequence[Point],
    setup: Setup,
    pool: Pool,
    new_progress: Callable[[], Progress],
    say: Say,
) -> None:
    """Run the points that are not finished; a finished one is left as it is.

    A point is in the pool whole or not at all, however the process ends.

    Raises
    ------
    UserError, StorageFault
        If a point cannot be run; those before it are kept.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(pool.locked(lambda: say("waiting for another sweep to end")))
        if not setup.place.is_folder:  # keeps an embedded server until the end
            stack.enter_context(open_store(setup.place))
        stack.callback(_tell_finished, points, pool, say)
        # Before the first run, so that none is in vain where a later point's plugin is wrong.
        plugins = {
            point.key: plugins_of(point.resolved.workload)
            for point in points
            if not pool.has(point)
        }
        warm_up = _WarmUp(setup)
        for number, point in enumerate(points, 1):
            head = f"point {number}/{len(points)}: {point.title}, run {point.repeat}"
            if point.key not in plugins:
                say(f"{head}: found")
                continue
            say(head)
            aside = pool.make_room(point)
            if aside is not None:
                say(f"its report is damaged or gone; what was there is in {aside}")
            prepare(point.resolved.workload, setup.place, new_progress(), say)
            warm_up(point)
            job = _job(point, setup, plugins.pop(point.key))
            _run(job, pool.of(point), new_progress())


class _WarmUp:
    """Loads in two steps, once, what the first run of a process would load in its own time.

    It has no plugins: they would be told of a run that does not count, and leave its checkpoint.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._is_done = False

    def __call__(self, point: Point) -> None:
        if self._is_done:
            return
        setup, self._is_done = self._setup, True
        job = Job(point.resolved, setup.place, _WARM_UP, setup.command)
        run_benchmark(job, NoProgress())


def _tell_finished(points: Sequence[Point], pool: Pool, say: Say) -> None:
    finished = sum(map(pool.has, points))
    text = f"{finished} of {format_count(len(points), 'point')} finished"
    say(text if finished == len(points) else f"{text}; the same command goes on")


def _job(point: Point, setup: Setup, plugins: Mapping[str, Plugin]) -> Job:
    return Job(
        resolved=point.resolved,
        data_root=setup.place,
        limits=setup.limits,
        command=setup.command,
        conduct=setup.conduct,
        lifecycle=plugins,
    )


def _run(job: Job, target: Path, progress: Progress) -> None:
    """Run one point, and give its folder the point's name when everything is in it."""
    with unfinished_folder(target.parent) as unfinished:
        with (unfinished / FILE_NAME).open("w", encoding="ascii") as series:
            run = run_benchmark(job, progress, series)
        run.record.save(unfinished)
        of_run = figures.of_run(run.record)
        write_report_files(of_run, unfinished)
        write_dlio_files(of_run, unfinished)
        unfinished.chmod(target.parent.stat().st_mode & 0o777)
        unfinished.rename(target)

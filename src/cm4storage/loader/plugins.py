"""What users may put in place of parts of the loader: readers, samplers, loaders, compute steps.

A part is named in the workload, by a dotted name such as ``package.module.Class``, or by the name
of an entry point in its group. docs/guide/plugins.md has an example of each.
"""

from __future__ import annotations

import pkgutil
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Protocol, cast

from cm4storage.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy as np
    import numpy.typing as npt

    from cm4storage.formats.format import Source
    from cm4storage.loader.data_files import DataFiles
    from cm4storage.storage.store import Store
    from cm4storage.workload.model import Workload
    from cm4storage.workload.sections import DatasetSection

READERS = "cm4storage.readers"
SAMPLERS = "cm4storage.samplers"
LOADERS = "cm4storage.loaders"
COMPUTE_STEPS = "cm4storage.compute_steps"


class Reader(Protocol):
    """``reader.reader_classname``: decodes files. Made once for each thread, with the data set."""

    def decode(self, source: Source) -> Iterator[memoryview]:
        """Yield the samples of a file, each as its bytes; see `Format.decode`."""


class Sampler(Protocol):
    """``reader.sampler_classname``: says which samples an epoch reads. Made with the workload."""

    def ids(self, epoch: int) -> Iterable[int]:
        """Return the samples of epoch `epoch`, counted from 1, the same at each call.

        A sample is file number * samples per file + its number in the file.
        """


class Loader(Protocol):
    """``reader.data_loader_classname``: gives batches. Made with workload, store and files."""

    def batches(self, epoch: int, steps: int) -> Iterator[npt.NDArray[np.generic]]:
        """Yield `steps` batches of epoch `epoch`; each is given up before the next is asked for."""


class ComputeStep(Protocol):
    """``train.compute_classname``: takes the place of the sleep. Made with the workload.

    It may have a method ``transfer(batch)``, which moves a batch to its device and returns what
    the call gets; its time is recorded as the stage h2d.
    """

    def __call__(self, batch: Any, duration_s: float) -> None:
        """Compute with a batch, for `duration_s` seconds if it emulates."""


def reader_of(workload: Workload) -> Callable[[DatasetSection], Reader] | None:
    """Return what makes the workload's own reader, or None."""
    name = workload.reader.reader_classname
    return None if name is None else _load(name, READERS, "reader.reader_classname")


def sampler_of(workload: Workload) -> Sampler | None:
    """Return the workload's own sampler, or None."""
    name = workload.reader.sampler_classname
    if name is None:
        return None
    return cast("Sampler", _load(name, SAMPLERS, "reader.sampler_classname")(workload))


def loader_of(workload: Workload, store: Store, files: DataFiles) -> Loader | None:
    """Return the workload's own loader, or None."""
    name = workload.reader.data_loader_classname
    if name is None:
        return None
    made = _load(name, LOADERS, "reader.data_loader_classname")(workload, store, files)
    return cast("Loader", made)


def compute_step_of(workload: Workload) -> ComputeStep | None:
    """Return the workload's own compute step, or None."""
    name = workload.train.compute_classname
    if name is None:
        return None
    return cast("ComputeStep", _load(name, COMPUTE_STEPS, "train.compute_classname")(workload))


def _load(name: str, group: str, key: str) -> Callable[..., Any]:
    """Return the class or function that a key names.

    Raises
    ------
    UserError
        If there is none.
    """
    found = entry_points(group=group, name=name)
    try:
        made: Callable[..., Any]
        made = next(iter(found)).load() if found else pkgutil.resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"{key}: {name!r} cannot be loaded: {error}",
            where=key,
            meaning=f"it is neither an entry point of {group} nor the name of an object",
            advice="write package.module.Class, and put the package on PYTHONPATH or install it",
        ) from error
    if not callable(made):
        raise UserError(f"{key}: {name!r} is not a class or function", where=key)
    return made

"""What users may put in place of parts of the loader: readers, samplers, loaders, compute steps.

A part is named in the workload, by a dotted name such as ``package.module.Class``, or by the name
of an entry point in its group. docs/guide/plugins.md has an example of each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from cm4storage.core.records import dataclass, names_of
from cm4storage.plugins.naming import load_named

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


@dataclass(frozen=True)
class Plugins:
    """The parts that take the place of ours, each as what makes it; None: ours.

    Attributes
    ----------
    reader : callable from DatasetSection to Reader, optional
    sampler : callable from Workload to Sampler, optional
    loader : callable from Workload, Store and DataFiles to Loader, optional
    compute_step : callable from Workload to ComputeStep, optional
    """

    reader: Callable[[DatasetSection], Reader] | None = None
    sampler: Callable[[Workload], Sampler] | None = None
    loader: Callable[[Workload, Store, DataFiles], Loader] | None = None
    compute_step: Callable[[Workload], ComputeStep] | None = None

    def given(self) -> list[str]:
        """Return the names of the parts that are in here."""
        return [name for name in names_of(self) if getattr(self, name) is not None]

    def completed(self, workload: Workload) -> Plugins:
        """Return these plugins, and for those that are missing the ones that a workload names.

        Raises
        ------
        UserError
            If one cannot be loaded.
        """
        reader, train = workload.reader, workload.train
        return Plugins(
            self.reader or load_named(reader.reader_classname, READERS, "reader.reader_classname"),
            self.sampler
            or load_named(reader.sampler_classname, SAMPLERS, "reader.sampler_classname"),
            self.loader
            or load_named(reader.data_loader_classname, LOADERS, "reader.data_loader_classname"),
            self.compute_step
            or load_named(train.compute_classname, COMPUTE_STEPS, "train.compute_classname"),
        )

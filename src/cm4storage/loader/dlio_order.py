"""``reader.order: dlio``: the samples in the order in which DLIO itself hands them over.

DLIO's PyTorch loader reads in increasing order, whatever is to be shuffled. Its TensorFlow loader
gives each reader thread consecutive samples of shuffled lists, and takes a batch of each thread in
turn; tfrecord files are left to ``tf.data`` (see `cm4storage.loader.dlio_records`).

Facts: ``reconfigure`` and ``build_sample_map_iter`` in ``utils/config.py``,
``data_loader/tf_data_loader.py`` and ``reader/reader_handler.py`` of dlio_benchmark 2.0.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from cm4storage.core.errors import UserError
from cm4storage.loader.dlio_records import RecordsOrder
from cm4storage.loader.sampled_order import PADDING
from cm4storage.workload.plan import Plan, Split

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

    from cm4storage.workload.model import Workload

_SEEDS = 2**32


class DlioOrder(Protocol):
    """The order of each epoch of one split."""

    def ids(self, epoch: int) -> Iterable[int]:
        """Return the samples of epoch `epoch`, from 1, as file * samples per file + sample.

        At a place that DLIO fills without reading anything stands `PADDING`.
        """


def dlio_order(workload: Workload, split: Split) -> DlioOrder:
    """Return DLIO's order of a split.

    Raises
    ------
    UserError
        Where DLIO has no order, or none that is the same on every run.
    """
    if workload.reader.data_loader in ("dali", "native_dali"):
        raise UserError(
            f"reader.order=dlio: the order of reader.data_loader={workload.reader.data_loader} "
            "is not known here",
            where="reader.data_loader",
            advice="take pytorch or tensorflow, or leave reader.order out",
        )
    if workload.framework == "pytorch":
        return _Rising(Plan.of(workload).count(split) * workload.dataset.num_samples_per_file)
    if workload.dataset.format == "tfrecord":
        return RecordsOrder(workload, split)
    return _ThreadsOrder(workload, split)


class _Rising:
    """All samples in increasing order, as DLIO's PyTorch loader of 2026 reads them."""

    def __init__(self, samples: int) -> None:
        self._samples = samples

    def ids(self, _epoch: int) -> range:
        return range(self._samples)


class _ThreadsOrder:
    """The batches of several threads in turn, each of consecutive samples of shuffled lists.

    Threads are ``read_threads``; what one of them does beside the others has no fixed order, but
    ``Dataset.interleave`` hands their batches over in turn. A thread's last batch is padded.
    """

    def __init__(self, workload: Workload, split: Split) -> None:
        reader, dataset = workload.reader, workload.dataset
        plan = Plan.of(workload)
        self._counts = [plan.count(each) for each in Split]
        self._split = list(Split).index(split)
        self._per_file = dataset.num_samples_per_file
        self._samples = plan.count(split) * self._per_file
        self._threads = max(1, reader.read_threads)
        self._batch_size = reader.batch_size if split is Split.TRAIN else reader.batch_size_eval
        self._shuffles_files = reader.file_shuffle != "off"
        self._shuffles_samples = reader.sample_shuffle != "off" and self._per_file > 1
        self._train = workload.train
        self._require_shares()
        if self._shuffles_files or self._shuffles_samples:
            self._require_seeds()
        self._lists = (0, [np.arange(count) for count in self._counts])

    def _require_shares(self) -> None:
        if 0 < self._samples < self._threads:
            raise UserError(
                f"reader.order=dlio: DLIO cannot divide {self._samples} samples among "
                f"{self._threads} threads",
                where=f"reader.read_threads={self._threads}",
                meaning="it gives each thread the same number of samples, and stops at 0",
                advice="lower reader.read_threads, or leave reader.order out",
            )

    def _require_seeds(self) -> None:
        if self._seed(self._train.epochs) >= _SEEDS:
            raise UserError(
                f"reader.order=dlio: numpy takes no seed of {self._seed(self._train.epochs)}",
                where=f"train.seed={self._train.seed}",
                meaning="DLIO adds the number of the epoch to it and stops at 2^32",
            )

    def _seed(self, epoch: int) -> int:
        return self._train.seed + (epoch if self._train.seed_change_epoch else 0)

    def ids(self, epoch: int) -> Iterable[int]:
        """Return the samples of an epoch; see `DlioOrder.ids`."""
        return _Ids(self, self._files(epoch), self._in_files(epoch))

    def _files(self, epoch: int) -> npt.NDArray[np.int64]:
        """Return the files in their order: DLIO shuffles the list of the epoch before."""
        last, lists = self._lists
        if not self._shuffles_files:
            return lists[self._split]
        if epoch < last:
            last, lists = 0, [np.arange(count) for count in self._counts]
        lists = [numbers.copy() for numbers in lists]
        for number in range(last + 1, epoch + 1):
            generator = np.random.RandomState(self._seed(number))
            for numbers in lists:  # one generator for both: what trains goes before
                generator.shuffle(numbers)
        self._lists = (epoch, lists)
        return lists[self._split]

    def _in_files(self, epoch: int) -> npt.NDArray[np.unsignedinteger] | None:
        """Return the number in its file of the sample at each place; None: they rise.

        DLIO shuffles the numbers of all samples, and takes their remainders; the file is that of
        the place. So a sample may come twice and another not at all.
        """
        if not self._shuffles_samples:
            return None
        kind = np.min_scalar_type(self._per_file)  # the remainders are shuffled: it is the same
        numbers = np.tile(np.arange(self._per_file, dtype=kind), self._samples // self._per_file)
        np.random.RandomState(self._seed(epoch)).shuffle(numbers)
        return numbers

    def batches(self) -> Iterator[tuple[npt.NDArray[np.int64], int]]:
        """Yield the places in the lists of each batch that is handed over, and its padding."""
        lengths = [self._length(thread) for thread in range(self._threads)]
        for start in range(0, max(lengths), self._batch_size):
            for thread, length in enumerate(lengths):
                if start < length:
                    stop = min(start + self._batch_size, length)
                    places = self._places(thread, np.arange(start, stop))
                    yield places, self._batch_size - (stop - start)

    @property
    def _share(self) -> int:
        """The samples that a thread is given at once; what is left over goes to the first ones."""
        return self._samples // self._threads

    def _length(self, thread: int) -> int:
        left = self._samples - self._share * self._threads
        return self._share + max(0, min(self._share, left - thread * self._share))

    def _places(self, thread: int, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return where the samples of a thread, by their number in it, stand in the lists."""
        turn, offset = np.divmod(numbers, self._share)
        places: npt.NDArray[np.int64] = (turn * self._threads + thread) * self._share + offset
        return places

    def numbers(
        self,
        places: npt.NDArray[np.int64],
        files: npt.NDArray[np.int64],
        in_files: npt.NDArray[np.unsignedinteger] | None,
    ) -> list[int]:
        """Return the samples at places of the lists."""
        at, rising = np.divmod(places, self._per_file)
        inside = rising if in_files is None else in_files[places].astype(np.int64)
        numbers: list[int] = (files[at] * self._per_file + inside).tolist()
        return numbers


class _Ids:
    """The samples of one epoch, batch by batch; can be walked through again."""

    def __init__(
        self,
        order: _ThreadsOrder,
        files: npt.NDArray[np.int64],
        in_files: npt.NDArray[np.unsignedinteger] | None,
    ) -> None:
        self._order = order
        self._files = files
        self._in_files = in_files

    def __iter__(self) -> Iterator[int]:
        for places, padding in self._order.batches():
            yield from self._order.numbers(places, self._files, self._in_files)
            yield from [PADDING] * padding

"""The order of tfrecord files in DLIO, which leaves them to TensorFlow's ``tf.data``.

Files come sorted by their paths, whatever ``file_shuffle`` says; ``read_threads`` of them are read
at once, a record of each in turn; ``sample_shuffle: seed`` shuffles by a buffer of ``shuffle_size``
samples.
``train.seed_change_epoch`` changes nothing: each iteration of the pipeline has seeds of its own.

Facts: ``reader/tf_reader.py`` of dlio_benchmark 2.0.0, and ``readers.py`` and
``prefetch_dataset_op.cc`` of TensorFlow.
"""

from __future__ import annotations

import math
from itertools import islice
from typing import TYPE_CHECKING

from cm4storage.core.errors import UserError
from cm4storage.loader.tf_shuffle import iteration_seeds, shuffled
from cm4storage.workload.plan import Plan, Split

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cm4storage.workload.model import Workload


class RecordsOrder:
    """The order of each epoch of a split of tfrecord files.

    Raises
    ------
    UserError
        Where TensorFlow refuses DLIO's pipeline, or draws its seeds by chance.
    """

    def __init__(self, workload: Workload, split: Split) -> None:
        self._workload = workload
        self._split = split
        self._per_file = workload.dataset.num_samples_per_file
        _require_order(workload)
        if workload.reader.sample_shuffle == "seed" and self._iterations() > 1:
            self._require_pauses()

    def _require_pauses(self) -> None:
        """Refuse several epochs whose last step gives the pipeline no time to read ahead."""
        workload, train = self._workload, self._split is Split.TRAIN
        pause = workload.computation_time if train else workload.eval_time
        if self._epochs_before(workload.train.epochs + 1) > 1 and not any(pause.parameters):
            key = "train.computation_time" if train else "evaluation.eval_time"
            raise UserError(
                "reader.order=dlio: DLIO's order of tfrecord files differs on each run here",
                where=f"{key}=0",
                meaning="the seeds of an epoch depend on whether TensorFlow had begun to read past "
                "the end of the epoch before, and no computation gives it the time to",
                advice=f"give {key} a few milliseconds, or set reader.prefetch_size=0",
            )

    def ids(self, epoch: int) -> _Records:
        """Return the samples of an epoch; see `DlioOrder.ids`."""
        return _Records(self, epoch)

    def walk(self, epoch: int) -> Iterator[int]:
        """Yield the samples of an epoch."""
        reader, train = self._workload.reader, self._workload.train
        numbers = self._interleaved()
        if reader.sample_shuffle == "off":
            return numbers
        iteration = self._epochs_before(epoch) * self._iterations()
        return shuffled(numbers, reader.shuffle_size, iteration_seeds(train.seed, iteration))

    def _interleaved(self) -> Iterator[int]:
        """Yield the samples with ``read_threads`` files read in turn.

        All files have as many records: those that are read together end together.
        """
        files = Plan.of(self._workload).in_key_order(self._split)
        together = self._workload.reader.read_threads
        while firsts := [number * self._per_file for number in islice(files, together)]:
            for record in range(self._per_file):
                for first in firsts:
                    yield first + record

    def _epochs_before(self, epoch: int) -> int:
        """Return how many epochs of this split go before it."""
        if self._split is Split.TRAIN:
            return epoch - 1
        return sum(self._workload.is_evaluated_after(number) for number in range(1, epoch))

    def _iterations(self) -> int:
        """Return how often an epoch starts the shuffle.

        The pipeline repeats the data and reads ahead: with the last batch of an epoch in hand, it
        has fetched ``prefetch_size`` more, and to fetch one past the end starts the shuffle again.
        """
        workload, train = self._workload, self._split is Split.TRAIN
        reader, per_file = workload.reader, self._per_file
        batch = reader.batch_size if train else reader.batch_size_eval
        steps = workload.steps_per_epoch() if train else workload.eval_steps()
        files = Plan.of(workload).count(self._split)
        most = math.floor(files / batch * per_file) * workload.train.epochs
        fetched = min(steps + reader.prefetch_size, most)
        return math.ceil(fetched / max(1, files * per_file // batch))


class _Records:
    """The samples of one epoch; can be walked through again."""

    def __init__(self, order: RecordsOrder, epoch: int) -> None:
        self._order = order
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        return self._order.walk(self._epoch)


def _require_order(workload: Workload) -> None:
    """Refuse what TensorFlow refuses, or shuffles by chance."""
    reader = workload.reader
    if reader.read_threads < 1:
        raise UserError(
            "reader.order=dlio: TensorFlow reads no tfrecord file with 0 threads",
            where="reader.read_threads=0",
            meaning="DLIO gives this number to TFRecordDataset, which refuses it",
            advice="take 1 thread",
        )
    if reader.sample_shuffle == "random":
        raise UserError(
            "reader.order=dlio: DLIO's order of tfrecord files differs on each run here",
            where="reader.sample_shuffle=random",
            meaning="it shuffles them with no seed, and TensorFlow draws one",
            advice="take sample_shuffle=seed, or leave reader.order out",
        )
    if reader.sample_shuffle == "seed" and reader.shuffle_size < 1:
        raise UserError(
            "reader.order=dlio: TensorFlow has no shuffle by a buffer of 0 samples",
            where="reader.shuffle_size=0",
            advice="take sample_shuffle=off, or a larger buffer",
        )

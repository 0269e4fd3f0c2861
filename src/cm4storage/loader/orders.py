"""The orders of all epochs of a split, as the workload asks for them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from cm4storage.core.records import dataclass
from cm4storage.loader.order import RunOrder, ShuffledOrder
from cm4storage.loader.sampled_order import PaddedOrder
from cm4storage.workload.plan import Plan, Split

if TYPE_CHECKING:
    from cm4storage.loader.dlio_order import DlioOrder
    from cm4storage.loader.order import EpochOrder


@dataclass(frozen=True)
class Orders:
    """What `shuffled` says, or what DLIO does where ``reader.order: dlio`` asks for that.

    Attributes
    ----------
    shuffled : RunOrder
    """

    shuffled: RunOrder

    def of(self, number: int) -> EpochOrder:
        """Return the order of epoch `number`, counted from 1."""
        if self._dlio is None:
            return self.shuffled.epoch(number)
        workload, split = self.shuffled.workload, self.shuffled.split
        ids = self._dlio.ids(number)
        if isinstance(ids, range):  # all in a row: each file is read once
            return ShuffledOrder(workload, None, None, split)
        is_training = split is Split.TRAIN
        reader, samples = workload.reader, workload.dataset.num_samples_per_file
        batch_size = reader.batch_size if is_training else reader.batch_size_eval
        files = Plan.of(workload).count(split)
        return PaddedOrder(ids, files, samples, batch_size, "reader.order=dlio")

    @cached_property
    def _dlio(self) -> DlioOrder | None:
        if self.shuffled.workload.reader.order != "dlio":
            return None
        from cm4storage.loader.dlio_order import dlio_order

        return dlio_order(self.shuffled.workload, self.shuffled.split)

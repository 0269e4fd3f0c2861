"""``reader.order: dlio``: the samples in the order in which DLIO itself reads them.

DLIO's PyTorch loader reads in increasing order, whatever is to be shuffled; its TensorFlow loader
shuffles by numpy's and TensorFlow's generators (``utils/config.py``, ``data_loader/`` and
``reader/`` of dlio_benchmark 2.0.0).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cm4storage.core.errors import UserError
from cm4storage.workload.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cm4storage.workload.model import Workload
    from cm4storage.workload.plan import Split


def sample_ids(workload: Workload, split: Split, epoch: int) -> Iterable[int]:
    """Return the samples of an epoch as file number * samples per file + number in the file.

    Raises
    ------
    UserError
        Where DLIO's order is not known.
    """
    del epoch
    if workload.framework != "pytorch":
        raise UserError(
            "reader.order=dlio: the order of DLIO's TensorFlow loader is not known yet",
            where="reader.order",
            advice="use framework=pytorch, or leave reader.order out",
        )
    return range(Plan.of(workload).count(split) * workload.dataset.num_samples_per_file)

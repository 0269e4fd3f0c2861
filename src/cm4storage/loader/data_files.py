"""The files of one split as readers ask for them: name and shape by number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cm4storage.formats.format import FileShape, HasIndexes, format_of
from cm4storage.workload.plan import Plan, Split

if TYPE_CHECKING:
    from cm4storage.workload.model import Workload


class DataFiles:
    """Names and shapes; sizes that vary are drawn once, when this is made."""

    def __init__(self, workload: Workload, split: Split) -> None:
        plan = Plan.of(workload)
        self.samples_per_file = workload.dataset.num_samples_per_file
        self.count = plan.count(split)
        self.key = plan.keys(split)
        self._dataset = workload.dataset
        self._element_type = workload.dataset.element_type
        self._dimensions = plan.shapes()
        self._before = 0 if split is Split.TRAIN else plan.count(Split.TRAIN)
        self._last = self._shape_of(self._dimensions(self._before))

    def shape(self, index: int) -> FileShape:
        """Return the shape of file `index` of the split."""
        dimensions = self._dimensions(self._before + index)
        last = self._last
        if dimensions != last.record_shape:
            self._last = last = self._shape_of(dimensions)
        return last

    def index_suffixes(self) -> tuple[str, ...]:
        """Return what the names of the files end with that are read beside each file."""
        kind = format_of(self._dataset)
        return kind.index_suffixes if isinstance(kind, HasIndexes) else ()

    def _shape_of(self, dimensions: tuple[int, ...]) -> FileShape:
        return FileShape(dimensions, self.samples_per_file, self._element_type)

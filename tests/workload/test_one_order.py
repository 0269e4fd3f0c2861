"""``reader.order``: what contradicts it."""

from __future__ import annotations

from cm4storage.workload.model import Workload
from cm4storage.workload.rules import problems_of

DLIO = {"reader.order": "dlio", "dataset.num_files_train": 8, "dataset.format": "npz"}


def test_dlio_order_and_a_sampler_contradict_each_other():
    workload = Workload.from_settings(DLIO | {"reader.sampler_classname": "mine.Backwards"})
    (problem,) = problems_of(workload, "mine.yaml")
    assert "mine.Backwards both say what is read" in problem.what
    assert not problems_of(Workload.from_settings(DLIO), "mine.yaml")

"""Evaluations run over their own files, after the epochs that the workload names."""

from __future__ import annotations

import pytest
from running_jobs import folder_of, run

EVALUATING = (
    "workflow.evaluation=true dataset.num_files_eval=7 reader.batch_size_eval=3 "
    "evaluation.eval_time=0.001 train.epochs=6"
)


@pytest.mark.parametrize(
    ("after", "every", "expected"),
    [(1, 1, [1, 2, 3, 4, 5, 6]), (2, 2, [2, 4, 6]), (3, 5, [3]), (7, 1, [])],
)
def test_evaluations_follow_the_epochs_that_are_due(small_workload, root, after, every, expected):
    params = f"evaluation.eval_after_epoch={after} evaluation.epochs_between_evals={every}"
    workload = small_workload(f"{EVALUATING} {params}")
    folder_of(workload, root)
    outcome = run(workload, root)
    assert [each.number for each in outcome.evaluations] == expected
    assert len(outcome.epochs) == 6


def test_an_evaluation_reads_the_files_of_valid(small_workload, root):
    workload = small_workload(f"{EVALUATING} train.epochs=1 reader.file_shuffle=off")
    folder = folder_of(workload, root)
    (evaluation,) = run(workload, root).evaluations
    read = sorted((folder / "valid").iterdir())[:6]  # two batches of three; a rest is left out
    assert evaluation.bytes_read == sum(path.stat().st_size for path in read)
    assert len(evaluation.compute_s) == 2
    assert evaluation.samples == 6
    assert min(evaluation.compute_s) >= 0.001


def test_each_evaluation_tells_its_order(small_workload, root):
    params = f"{EVALUATING} train.epochs=2 reader.file_shuffle=seed train.seed_change_epoch"
    changing, same = (small_workload(f"{params}={each}") for each in ("true", "false"))
    folder_of(same, root)
    first, second = (each.order_digest for each in run(same, root).evaluations)
    assert first == second is not None
    first, second = (each.order_digest for each in run(changing, root).evaluations)
    assert first != second


def test_without_the_switch_nothing_is_evaluated(small_workload, root):
    workload = small_workload(f"{EVALUATING} workflow.evaluation=false")
    folder_of(workload, root)
    assert run(workload, root).evaluations == []

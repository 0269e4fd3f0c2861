"""What DLIO's checkpoints consist of, by model and number of ranks."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cm4storage.checkpoint.models.layout import Layout
from cm4storage.core.errors import UserError
from cm4storage.core.units import GIB
from cm4storage.workload.model import Workload
from cm4storage.workload.resolve import Request, resolve


def stock(model: str, params: str = "") -> Workload:
    """Return a stock workload in its own size."""
    return resolve(Request(model=model, scale="stock", params=params)).workload


def made(**values: Any) -> Workload:
    """Return a workload with these keys of `model`; ``__`` stands for a dot."""
    return Workload.from_settings(
        {f"model.{key.replace('__', '.')}": value for key, value in values.items()}
    )


def names(layout: Layout, rank: int) -> list[str]:
    """Return the names of a rank's files."""
    return [file.name for file in layout.files(rank)]


@pytest.mark.parametrize(
    ("model", "ranks", "total_gib"),
    [
        ("llama3_8b", 8, 104.70452117919922),
        ("llama3_70b", 64, 911.21),
        ("llama3_405b", 512, 5292.25),
        ("llama3_1t", 1024, 15426.59),
    ],
)
def test_models_of_mlperf_storage_have_the_published_sizes(
    model: str, ranks: int, total_gib: float
) -> None:
    layout = Layout(stock(model))
    computed_gib = layout.total.total_bytes / GIB
    assert layout.ranks == ranks
    if model == "llama3_8b":
        assert computed_gib == total_gib
    assert round(computed_gib, 2) == round(total_gib, 2)


@settings(max_examples=100, deadline=None)
@given(
    tensor=st.sampled_from([1, 2, 4]),
    pipeline=st.integers(1, 3),
    copies=st.integers(1, 4),
    zero_stage=st.integers(0, 3),
    layers=st.integers(3, 9),
    widths=st.tuples(*[st.integers(1, 40)] * 3),
    heads=st.sampled_from([(1, 1), (8, 2), (4, 4)]),
)
def test_all_ranks_together_hold_what_the_formula_says(
    tensor: int,
    pipeline: int,
    copies: int,
    zero_stage: int,
    layers: int,
    widths: tuple[int, int, int],
    heads: tuple[int, int],
) -> None:
    if zero_stage == 3:
        pipeline = 1
    ranks = tensor * pipeline * copies
    hidden, ffn, vocabulary = widths[0] * heads[0] * ranks, widths[1], widths[2]
    workload = made(
        type="transformer",
        num_layers=layers,
        parallelism__tensor=tensor,
        parallelism__pipeline=pipeline,
        parallelism__zero_stage=zero_stage,
        transformer__hidden_size=hidden,
        transformer__ffn_hidden_size=ffn,
        transformer__vocab_size=vocabulary,
        transformer__num_attention_heads=heads[0],
        transformer__num_kv_heads=heads[1],
    )
    kv = hidden // heads[0] * heads[1]
    norms = 2 * layers * hidden + hidden
    rest = 2 * vocabulary * hidden
    rest += layers * hidden * (2 * hidden + 2 * kv + 3 * ffn)
    holders = ranks if zero_stage else tensor * pipeline
    layout = Layout(workload, ranks)
    assert layout.total.model_bytes == 2 * (rest + tensor * norms)
    assert layout.total.optimizer_bytes == 4 * 3 * (rest + norms + 5 * hidden * holders)
    each = [[file.size_bytes for file in layout.files(rank)] for rank in range(ranks)]
    assert sum(map(sum, each)) == layout.total.total_bytes
    every_name = [name for rank in range(ranks) for name in names(layout, rank)]
    assert len(set(every_name)) == len(every_name) == layout.total.files


def test_names_of_files_follow_the_division_of_the_model() -> None:
    layered = Layout(stock("llama3_405b"))
    assert names(layered, 0) == [
        *(f"layer_{layer}-model_0_model_states.pt" for layer in range(5)),
        "zero_pp_rank_0_mp_rank_0_optim_states.pt",
    ]
    last = names(layered, 255)
    assert last[-3:-1] == [f"layer_{n}-model_255_model_states.pt" for n in (127, 128)]
    assert names(layered, 256) == ["zero_pp_rank_1_mp_rank_0_optim_states.pt"]
    whole = Layout(stock("llama_7b"), 2)
    assert names(whole, 0) == [
        "model_0_model_states.pt",
        "zero_pp_rank_0_mp_rank_0_optim_states.pt",
    ]
    assert names(whole, 1) == ["zero_pp_rank_1_mp_rank_0_optim_states.pt"]
    divided = Layout(stock("llama3_8b"))
    assert names(divided, 7) == [
        f"zero_pp_rank_7_mp_rank_0_{kind}_states.pt" for kind in ("model", "optim")
    ]


def test_tensors_of_a_file_have_their_layer_and_number_for_a_name() -> None:
    model, optimizer = Layout(stock("llama3_8b")).files(0)
    shapes = {tensor.name: tensor.shape for tensor in model.tensors}
    assert len(shapes) == 32 * 6 + 3
    assert shapes["0/0"] == shapes["33/0"] == (4096 * 128256 // 8,)
    assert shapes["1/1"] == (4096 * (4096 + 2 * 1024) // 8,)
    assert shapes["34/0"] == (4096 // 8,)
    assert {tensor.dtype for tensor in model.tensors} == {"F16"}
    assert [tensor.name for tensor in optimizer.tensors] == list("012345")
    assert {tensor.dtype for tensor in optimizer.tensors} == {"F32"}


def test_a_model_that_is_no_transformer_is_one_tensor_of_bytes_in_the_first_rank() -> None:
    layout = Layout(made(model_size_bytes=12345), 3)
    (file,) = layout.files(0)
    assert file.name == "model_states-0.pt"
    assert [(t.name, t.dtype, t.shape) for t in file.tensors] == [("a", "I8", (12345,))]
    assert names(layout, 1) == names(layout, 2) == []
    every = Layout(made(model_size_bytes=12345, parallelism__zero_stage=1), 3)
    assert [names(every, rank) for rank in range(3)] == [
        [f"model_states-{rank}.pt"] for rank in range(3)
    ]


def test_sizes_by_layer_and_group_are_taken_as_they_are() -> None:
    workload = made(
        type="transformer",
        num_layers=5,
        layer_parameters=(100, 0, 51),
        optimization_groups=(10, 0, 7),
        parallelism__tensor=2,
        parallelism__pipeline=2,
    )
    layout = Layout(workload)
    model, optimizer = layout.files(2)
    assert model.name == "zero_pp_rank_0_mp_rank_2_model_states.pt"
    assert [(t.name, t.size_bytes) for t in model.tensors] == [
        ("4/0", 50), ("4/2", 25), ("5/0", 50), ("5/2", 25),
    ]  # fmt: skip
    assert [(t.name, t.size_bytes) for t in optimizer.tensors] == [
        ("0/a", 10), ("0/b", 10), ("2/a", 7), ("2/b", 7), ("combined", 17),
    ]  # fmt: skip


def test_a_subset_writes_the_files_of_its_ranks_alone() -> None:
    subset = Layout(stock("llama3_70b", "checkpoint.mode=subset model.parallelism.data=8"))
    everyone = Layout(stock("llama3_70b"))
    assert subset.ranks == 8
    for rank in range(8):
        assert list(subset.files(rank)) == list(everyone.files(rank))
    assert subset.total.total_bytes * 8 == everyone.total.total_bytes


@pytest.mark.parametrize(
    ("model", "params", "ranks", "what"),
    [
        ("llama3_70b", "", 12, "possible are multiples of 8: 8, 16, 24"),
        ("llama3_405b", "", 8, "possible are multiples of 256: 256, 512, 768"),
        ("llama3_70b", "model.parallelism.data=8", None, "set checkpoint.mode=subset"),
        ("llama3_405b", "checkpoint.mode=subset", None, "set model.parallelism.data=2, as the 512"),
        (
            "llama3_70b",
            "checkpoint.mode=subset model.parallelism.data=8",
            65,
            "possible are 1 to 64",
        ),
        ("llama3_405b", "model.parallelism.zero_stage=3", None, "exclude each other"),
        ("llama3_1t", "model.num_layers=63", None, "63 layers cannot fill 64 pipeline stages"),
        ("llama3_8b", "model.num_layers=-1", None, "would be empty"),
    ],
)
def test_what_cannot_be_laid_out_is_refused_with_what_can(
    model: str, params: str, ranks: int | None, what: str
) -> None:
    with pytest.raises(UserError, match=what):
        Layout(stock(model, params), ranks)

"""The stock workloads have the values of the rounds and releases that they are named after."""

from __future__ import annotations

import math

import pytest

from cm4storage.core.errors import UserError
from cm4storage.workload import stock
from cm4storage.workload.explain import Request, explain

BLANK = None
TABLE = """
bert_v100                  tensorflow TC  tfrecord        500     313532     2500      0        48    1 1      0.968      0.9
cosmoflow_a100             tensorflow T   tfrecord        524288  1          2828486   71311    1     4 5      0.00551    0.7
cosmoflow_h100             tensorflow T   tfrecord        524288  1          2828486   71311    1     4 5      0.0035     0.7
cosmoflow_v100             tensorflow T   tfrecord        524288  1          2828486   71311    1     4 5      0.00936    0.9
cosmoflow_datagen          tensorflow G   tfrecord        524288  1          2828486   71311    -     - -      -          -
default                    pytorch    TE  npz             64      1          4096      0        4     1 10     1.0        0.9
dlrm                       pytorch    T   indexed_binary  1       1024       671088640 0        1     1 1      0.064296   0.9
dlrm-2024                  pytorch    T   indexed_binary  1       4195198976 327680    0        2048  1 1      0.064296   0.9
dlrm_b200                  pytorch    T   parquet         1024    4718592    761       0        16384 4 1      0.000375   0.7
dlrm_b200-2026-03          pytorch    T   parquet         1024    4718592    761       0        12288 4 1      0.000375   0.7
dlrm_mi355                 pytorch    T   parquet         1024    4718592    761       0        18432 4 1      0.0005625  0.7
dlrm_datagen               pytorch    G   parquet         1024    4194304    761       0        -     - -      -          -
dlrm_s3dlio_file           pytorch    T   parquet         64      1000000    1024      0        2048  8 1      0.000770031 0.9
dlrm_s3dlio_s3             pytorch    T   parquet         64      1000000    1024      0        2048  8 1      0.000770031 0.9
flux_a100                  pytorch    T   jpeg            1099776 1          307200    102400   8     8 5      1.1        0.8
flux_h100                  pytorch    T   jpeg            1099776 1          307200    102400   8     8 5      0.85       0.8
flux_b200                  pytorch    T   parquet         4296    288        2164832   0        48    8 1      1.35       0.9
flux_mi355                 pytorch    T   parquet         4296    288        2164832   0        72    8 1      2.025      0.9
flux_datagen               pytorch    G   parquet         4296    256        2164832   0        -     - -      -          -
llama_1t                   pytorch    GTC tfrecord        8       1          65536     0        1     1 1      0          0.9
llama_405b                 pytorch    C   -               -       -          -         -        -     - -      -          -
llama_70b                  pytorch    C   -               -       -          -         -        -     - -      -          -
llama_70b_zero3            pytorch    C   -               -       -          -         -        -     - -      -          -
llama_7b                   pytorch    C   -               -       -          -         -        -     - -      -          -
llama_7b_zero3             pytorch    C   -               -       -          -         -        -     - -      -          -
llama_8b_zero3             pytorch    C   -               -       -          -         -        -     - -      -          -
llama3_1t                  pytorch    C   -               -       -          -         -        -     - -      -          -
llama3_405b                pytorch    C   -               -       -          -         -        -     - -      -          -
llama3_70b                 pytorch    C   -               -       -          -         -        -     - -      -          -
llama3_8b                  pytorch    C   -               -       -          -         -        -     - -      -          -
megatron_deepspeed         pytorch    TC  mmap_indexed_binary 1   277203535  2048      0        1024  1 311541 0.03       0.9
megatron_deepspeed_LLNL    pytorch    TC  mmap_indexed_binary 1   277203535  2048      0        16    1 3      2.44       0.9
parquet_selective_read_example pytorch GT parquet         16      1000       65536     0        32    4 1      0.001      0.9
resnet50_a100              tensorflow T   tfrecord        1024    1251       114660.07 0        400   8 5      0.435      0.9
resnet50_h100              tensorflow T   tfrecord        1024    1251       114660.07 0        400   8 5      0.224      0.9
resnet50_tf                tensorflow T   tfrecord        1024    1251       114660.07 0        64    8 1      0.098      0.9
resnet50_v100              tensorflow T   tfrecord        1024    1251       114660.07 0        64    8 5      0.195      0.9
resnet50_datagen           tensorflow G   tfrecord        1024    1251       114660.07 0        -     - -      -          -
retinanet_b200             pytorch    T   jpeg            1170301 1          322957    0        24    8 8      0.04755    0.85
retinanet_mi355            pytorch    T   jpeg            1170301 1          322957    0        32    8 8      0.0634     0.85
retinanet_mi355-2026-03    pytorch    T   jpeg            1170301 1          322957    0        36    8 8      0.071325   0.85
retinanet_datagen          pytorch    G   jpeg            1170301 1          322957    0        -     - -      -          -
unet3d_a100                pytorch    T   npz             168     1          146600628 68341808 7     4 5      0.636      0.9
unet3d_a100-dlio           pytorch    TC  npz             168     1          146600628 68341808 7     4 5      0.636      0.9
unet3d_a100-v1.0           pytorch    TC  npz             168     1          146600628 68341808 7     4 5      0.636      0.9
unet3d_a100_s3             pytorch    GT  npz             168     1          146600628 0        7     4 5      0.636      0.9
unet3d_h100                pytorch    T   npz             168     1          146600628 68341808 7     4 5      0.323      0.9
unet3d_h100-dlio           pytorch    TC  npz             168     1          146600628 68341808 7     4 5      0.323      0.9
unet3d_h100-v1.0           pytorch    TC  npz             168     1          146600628 68341808 7     4 5      0.323      0.9
unet3d_h100_s3             pytorch    GT  npz             168     1          146600628 0        7     4 7      0.323      0.9
unet3d_v100                pytorch    TC  npz             168     1          146600628 68341808 4     4 5      1.3604     0.9
unet3d_v100_s3             pytorch    GT  npy             168     1          146600628 0        4     4 5      1.3604     0.9
unet3d_b200                pytorch    T   npz             7200    1          146600628 68341808 7     4 5      0.162      0.9
unet3d_datagen             pytorch    G   npz             168     1          146600628 68341808 -     - -      -          -
"""  # noqa: E501
ROWS = [line.split() for line in TABLE.strip().splitlines()]

IN_THE_WHEEL = (
    "bert_v100", "cosmoflow_a100", "cosmoflow_h100", "cosmoflow_v100", "default", "dlrm",
    "megatron_deepspeed", "resnet50_a100", "resnet50_h100", "resnet50_tf", "resnet50_v100",
    "unet3d_a100", "unet3d_h100", "unet3d_v100",
)  # fmt: skip


def workload_of(name):
    return explain(Request(model=name)).workload


def test_the_table_has_every_stock_workload():
    assert sorted(row[0] for row in ROWS) == stock.names()
    assert set(IN_THE_WHEEL) <= set(stock.names())


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_values_are_those_of_the_source(row):
    name, framework, letters, *rest = row
    workload = workload_of(name)
    flow, dataset, reader = workload.workflow, workload.dataset, workload.reader
    parts = zip("GTEC", (flow.generate_data, flow.train, flow.evaluation, flow.checkpoint),
                strict=True)  # fmt: skip
    assert "".join(letter for letter, is_on in parts if is_on) == letters
    assert workload.framework == framework
    values = (
        dataset.format, dataset.num_files_train, dataset.num_samples_per_file,
        dataset.record_length_bytes, dataset.record_length_bytes_stdev, reader.batch_size,
        reader.read_threads, workload.train.epochs, workload.computation_time.mean_s,
        workload.metric.au,
    )  # fmt: skip
    for value, written in zip(values, rest, strict=True):
        if written != "-":
            assert value == (written if isinstance(value, str) else float(written))


@pytest.mark.parametrize(
    ("name", "gib"),
    [
        ("llama3_8b", 104.70),
        ("llama3_70b", 911.21),
        ("llama3_405b", 5292.25),
        ("llama3_1t", 15426.59),
    ],
)
def test_llama_models_have_the_published_size(name, gib):
    """Half-precision weights, and three single-precision states of each, by published sizes."""
    model = workload_of(name).model
    hidden, ffn = model.transformer_hidden_size, model.transformer_ffn_hidden_size
    kv = hidden // model.transformer_num_attention_heads * model.transformer_num_kv_heads
    layer = hidden + hidden * (hidden + 2 * kv) + hidden * hidden + hidden + 3 * ffn * hidden
    parameters = 2 * model.transformer_vocab_size * hidden + model.num_layers * layer + hidden
    assert parameters * (2 + 12) / 2**30 == pytest.approx(gib, rel=1e-3)


def test_columns_of_parquet_make_the_record():
    dlrm = workload_of("dlrm_b200").dataset
    assert len(dlrm.parquet_columns) == 200
    assert sum(column.row_bytes for column in dlrm.parquet_columns) == 761
    assert sum(column.read for column in dlrm.parquet_columns) == 40
    flux = workload_of("flux_b200").dataset
    assert sum(column.row_bytes for column in flux.parquet_columns) == 2164832


@pytest.mark.parametrize(
    ("model", "accelerator", "name"),
    [
        ("retinanet", "b200", "retinanet_b200"),
        ("retinanet", "", "retinanet_b200"),
        ("unet3d", "", "unet3d_h100"),
        ("bert", "", "bert_v100"),
        ("default", "", "default"),
        ("llama3_8b", "", "llama3_8b"),
        ("unet3d_h100-v1.0", "", "unet3d_h100-v1.0"),
        ("retinanet", "mi355-2026-03", "retinanet_mi355-2026-03"),
    ],
)
def test_found_by_model_and_accelerator_or_by_name(model, accelerator, name):
    assert stock.find(model, accelerator) == name


def test_every_stock_workload_says_whose_it_is():
    assert {stock.origin(name).partition(",")[0] for name in stock.names()} == {
        "DLIO", "DLIO 2.0.0 of PyPI (2024)", "MLCommons DLIO 3.0.2", "MLPerf Storage",
        "MLPerf Storage v1.0", "MLPerf Storage v2.0", "MLPerf Storage v3.0",
    }  # fmt: skip


def test_what_does_not_exist_is_said_with_what_does():
    with pytest.raises(UserError, match="unet3d exists as: unet3d_a100, "):
        stock.find("unet3d", "mi355")


@pytest.mark.parametrize("name", [row[0] for row in ROWS if row[5] != "-"])
def test_the_quick_scale_is_small_with_its_columns(name):
    dataset = explain(Request(model=name, scale="quick")).workload.dataset
    row_bytes = sum(column.row_bytes for column in dataset.parquet_columns) or dataset.sample_bytes
    samples = (dataset.num_files_train + dataset.num_files_eval) * dataset.num_samples_per_file
    assert samples * row_bytes <= 129 * 2**20
    assert math.floor(dataset.record_length_bytes) >= 1

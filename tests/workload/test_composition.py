"""Defaults lists, nesting and interpolation, with Hydra itself as the judge."""

from __future__ import annotations

import shlex
import shutil

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from cm4storage.core.errors import UserError
from cm4storage.workload import stock
from cm4storage.workload.explain import Request, explain
from cm4storage.workload.interpolation import Surroundings

MAIN = "defaults:\n  - _self_\n  - workload: default\n"


@pytest.fixture
def configs(tmp_path):
    """Return a function that writes files of the group ``workload``; give their folder."""

    def write(**files):
        folder = tmp_path / "conf"
        (folder / "workload").mkdir(parents=True, exist_ok=True)
        (folder / "config.yaml").write_text(MAIN)
        for name, text in files.items():
            path = folder / "workload" / f"{name.replace('__', '/')}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return folder

    return write


def by_hydra(folder, *overrides):
    """Return what Hydra composes from a folder as dlio_benchmark has it."""
    with initialize_config_dir(str(folder), version_base="1.2"):
        return OmegaConf.to_container(compose("config", [*overrides]).workload, resolve=True)


def by_us(folder, name, params=""):
    explained = explain(Request(model=name, config_dir=folder, params=params))
    assert not explained.problems
    return explained.as_written()


@pytest.mark.parametrize("name", stock.names())
def test_hydra_composes_the_stock_workloads_as_we_do(name, tmp_path):
    folder = tmp_path / "conf"
    shutil.copytree(stock.FOLDER, folder / "workload")
    (folder / "config.yaml").write_text(MAIN)
    assert by_us(None, name) == by_hydra(folder, f"workload={name}")


INNER = "defaults: [base]\ntrain: {epochs: '${workload.reader.${workload.w}}'}\nw: batch_size"
PAIRS = tuple(zip("abcdefg", "bcdefgh", strict=True))

BASE = """
model: {name: own}
framework: pytorch
dataset: {format: npz, num_files_train: 16, record_length_bytes: 4096}
reader: {batch_size: 4, read_threads: 2}
train: {computation_time: {mean: 0.3, stdev: 0.1}}
"""


@pytest.mark.parametrize(
    ("text", "params"),
    [
        ("defaults: [base]\nreader: {batch_size: 2}", ""),
        ("defaults: [base, _self_]\nreader: {batch_size: 2}", ""),
        ("defaults: [_self_, base]\nreader: {batch_size: 2}\nmetric: {au: 0.7}", ""),
        ("defaults: [base, folder/more@_here_]", ""),
        ("defaults: [base, dataset: small]", ""),
        ("defaults: [base, dataset@_here_: nested]", ""),
        ("defaults: [base, {dataset: [small, smaller]}]", ""),
        ("defaults: [base, optional dataset: none_such]", ""),
        ("defaults: [base]\ntrain: {computation_time: {stdev: 0.2}}", ""),
        ("defaults: [base]", "++train.computation_time.mean=0.5"),
        ("defaults: [base]", "'++reader={batch_size: 8}'"),
        ("defaults: [base]", "~train.computation_time ++train.epochs=2"),
        ("defaults: [base]", "~reader"),
        ("defaults: [base]", "++dataset.record_dims=[4,5] '++dataset.file_prefix=a b'"),
        ("defaults: [base]\nreader: {prefetch_size: '${workload.reader.batch_size}'}", ""),
        ("defaults: [base]\nreader: {prefetch_size: '${.read_threads}'}", "reader.read_threads=6"),
        ("defaults: [base]\ndataset: {data_folder: 'data/${..model.name}-${.format}'}", ""),
        ("defaults: [base]\ndataset: {data_folder: '${oc.env:NOT_SET,/data}/x'}", ""),
        ("defaults: [base]\ndataset: {data_folder: '${oc.env:SET}'}", ""),
        ("defaults: [base]\ndataset: {file_prefix: '${oc.select:workload.nothing,p}'}", ""),
        ("defaults: [base]\nreader: {prefetch_size: '${oc.decode:${oc.env:NUMBER}}'}", ""),
        ("defaults: [base]\nreader: {data_loader: '${workload.framework}'}", ""),
        (INNER, ""),
        ("defaults: [base]\nevaluation: {eval_time: '${workload.train.computation_time}'}", ""),
    ],
)  # fmt: skip
def test_compositions_are_those_of_hydra(text, params, configs, monkeypatch):
    monkeypatch.setenv("SET", "/mnt/set")
    monkeypatch.setenv("NUMBER", "3")
    folder = configs(
        base=BASE,
        own=text,
        folder__more="metric: {au: 0.8}",
        dataset__small="num_files_train: 4",
        dataset__smaller="num_files_train: 8\nfile_prefix: part",
        dataset__nested="dataset: {num_files_train: 5}",
    )
    theirs = by_hydra(folder, "workload=own", *map(_of_hydra, shlex.split(params)))
    explained = explain(Request(model="own", config_dir=folder, params=params))
    assert not explained.problems
    settings = explained.workload.settings()
    expected = _flat({k: v for k, v in theirs.items() if k != "w"})
    for path, value in expected.items():
        wanted = value
        if path.endswith("_time"):
            wanted = {"type": "normal", **value} if isinstance(value, dict) else value
        assert settings[path] == wanted, path
    given = {path for path, origin in explained.origins.items() if origin.kind != "default"}
    assert given == set(expected)


def _of_hydra(word):
    plus, rest = word[: len(word) - len(word.lstrip("+~"))], word.lstrip("+~")
    return f"{plus}workload.{rest}"


def _flat(tree, above=""):
    flat = {}
    for name, value in tree.items():
        path = f"{above}{name}"
        if isinstance(value, dict) and not path.endswith("_time"):
            flat |= _flat(value, f"{path}.")
        else:
            flat[path] = value
    return flat


def test_a_workload_of_the_user_goes_before_the_stock_one(configs):
    folder = configs(unet3d_h100="defaults: [unet3d_h100]\nreader: {batch_size: 2}")
    explained = explain(Request(model="unet3d", accelerator="h100", config_dir=folder))
    assert explained.workload.reader.batch_size == 2
    assert explained.workload.train.computation_time.mean_s == 0.323
    assert str(explained.origins["reader.batch_size"]) == "unet3d_h100.yaml:2"
    assert str(explained.origins["train.computation_time"]) == "stock unet3d_h100.yaml:5"
    assert str(explained.origins["reader.read_threads"]) == "stock base/unet3d.yaml:25"


def test_a_main_configuration_with_nesting_is_a_workload(configs):
    folder = configs(base=BASE)
    path = folder / "config.yaml"
    path.write_text("defaults: [_self_, workload: base, override hydra/job_logging: disabled]\n"
                    "workload: {metric: {au: 0.5}}\nhydra: {run: {dir: x}}")  # fmt: skip
    explained = explain(Request(config=path))
    assert not explained.problems
    assert explained.workload.metric.au == 0.5
    assert explained.workload.dataset.num_files_train == 16
    assert explained.composed.hydra == {"run": {"dir": "x"}}


def test_now_and_hydra_can_be_seen(configs):
    folder = configs(own="dataset: {file_prefix: 'p${now:%Y}', data_folder: '${hydra:job.name}'}")
    request = Request(model="own", config_dir=folder, surroundings=Surroundings({"job.name": "j"}))
    dataset = explain(request).workload.dataset
    assert dataset.file_prefix == f"p{request.surroundings.moment:%Y}"
    assert dataset.data_folder == "j"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("defaults: [missing]", r"there is no file missing\n  where: .*own.yaml, line 1"),
        ("defaults: [a]", r"in a circle: own -> a -> own"),
        ("defaults: 3", r"defaults: 3 is not understood"),
        ("defaults: [{a: b, c: d}]", "is not understood"),
        ("defaults: [{dataset: 4}]", "'dataset: 4' is not understood"),
        (f"defaults: [{'x' * 300}]", "is not understood"),
        ('defaults: ["a\\0b"]', "is not understood"),
        ("model: {name: x}\nmodel: {name: y}", r"model stands twice.*\n  where: .*lines 1 and 2"),
        ("reader: {batch_size: 1, batch_size: 2}", "reader.batch_size stands twice"),
        ("a: &x [*x]", "anchor that holds itself"),
        ("a: " + "[" * 60, "nested more than 40 levels"),
        ("- " * 50000, "nested more than 40 levels"),
        ("a: 2024-99-99", "a value that is none"),
        ("a: &a [x,x,x,x,x,x,x,x]\n"
         + "".join(f"{c}: &{c} [{','.join(['*' + b] * 8)}]\n" for b, c in PAIRS),
         "too many values"),
        ("dataset: {record_length: 1, record_length_bytes: 2}",
         r"record_length and dataset.record_length_bytes are two.*\n  where: .*lines 1 and 1"),
    ],
)  # fmt: skip
def test_bad_files_say_what_and_where(text, message, configs):
    folder = configs(own=text, a="defaults: [own]")
    with pytest.raises(UserError, match=message):
        explain(Request(model="own", config_dir=folder))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{batch_size: '${reader.read_threads}', read_threads: '${reader.batch_size}'}",
         r"goes in a circle: reader.batch_size -> reader.read_threads -> reader.batch_size"),
        ("{batch_size: '${.batch_size}'}", "in a circle: reader.batch_size -> reader.batch_size"),
        ("{batch_size: '${reader.bach_size}'}", r"names no key; did you mean reader.batch_size\?"),
        ("{batch_size: '${.....x}'}", "leads out of the file"),
        ("{batch_size: '${oc.env:NOT_SET_AT_ALL}'}", "variable NOT_SET_AT_ALL is not set"),
        ("{batch_size: '${oc.env:}'}", "needs the name of a variable"),
        ("{batch_size: '${nothing:4}'}", "there is no resolver nothing; known are oc.env"),
        ("{batch_size: '${hydra:job.num}'}", "is not known"),
        ("{batch_size: '${x'}", "not closed"),
        ("{batch_size: 'a${reader}'}", "in a circle|cannot be part of the text"),
        ("{data_loader: '${reader.read_threads}'}", "expected one of tensorflow"),
    ],
)  # fmt: skip
def test_bad_interpolations_say_why(text, message, configs):
    explained = explain(Request(model="own", config_dir=configs(own=f"reader: {text}")))
    (what,) = {problem.what for problem in explained.problems[:1]}
    with pytest.raises(UserError, match=message):
        raise UserError(what)


def test_a_key_that_an_interpolation_uses_is_not_unknown(configs):
    folder = configs(own="side: 4\nreader: {batch_size: '${side}'}\nother: 5")
    explained = explain(Request(model="own", config_dir=folder))
    assert explained.workload.reader.batch_size == 4
    assert [note for note in explained.notes if "unknown" in note] == [
        "other: unknown key, ignored"
    ]


def test_a_whole_section_may_be_an_interpolation(configs):
    folder = configs(own="mine: {batch_size: 3, read_threads: 2}\nreader: '${mine}'")
    reader = explain(Request(model="own", config_dir=folder)).workload.reader
    assert (reader.batch_size, reader.read_threads) == (3, 2)


def test_an_escaped_interpolation_is_text(configs):
    folder = configs(own=r"dataset: {data_folder: '\${x}/d'}")
    explained = explain(Request(model="own", config_dir=folder))
    assert explained.workload.dataset.data_folder == "${x}/d"


def test_files_survive_a_round_trip(configs):
    folder = configs(base=BASE, own="defaults: [base]\nreader: {batch_size: 2}")
    written = by_us(folder, "own")
    (folder / "workload" / "again.yaml").write_text(yaml.safe_dump(written))
    first, second = (explain(Request(model=n, config_dir=folder)) for n in ("own", "again"))
    assert first.workload.digest() == second.workload.digest()

"""Whole runs of checkpoints: written, read, recorded, and broken in every way."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from cm4storage.checkpoint.models.layout import Layout
from cm4storage.checkpoint.restoring import DamagedCheckpoint
from cm4storage.checkpoint.runs.conducting import run_checkpoints
from cm4storage.checkpoint.runs.job import CheckpointJob
from cm4storage.core.errors import StorageFault, UserError
from cm4storage.core.progress import NoProgress
from cm4storage.core.units import GIB, MIB
from cm4storage.results import checkpoint_records
from cm4storage.results.checkpoint_files import write_checkpoint_files
from cm4storage.results.checkpoint_report import build_report
from cm4storage.results.checkpoint_run_figures import of_checkpoint_run
from cm4storage.storage.folders.alignment import memory_file_system
from cm4storage.storage.location import StoreLocation
from cm4storage.workload.resolve import Request, resolve

if TYPE_CHECKING:
    from cm4storage.results.checkpoint_records import CheckpointRunRecord

SMALL = (
    "model.num_layers=2 model.transformer.hidden_size=64 model.transformer.ffn_hidden_size=96 "
    "model.transformer.vocab_size=128 model.transformer.num_attention_heads=4 "
    "model.transformer.num_kv_heads=2 checkpoint.num_checkpoints_write=2 "
    "checkpoint.num_checkpoints_read=2 checkpoint.time_between_checkpoints=0 "
)
READ_ONLY = "checkpoint.num_checkpoints_write=0"


def job(folder: Path | str, params: str = "", *, model: str = "llama_7b", ranks: int = 3) -> Any:
    """Return the job of a small model."""
    resolved = resolve(Request(model=model, params=f"{SMALL} {params}"))
    return CheckpointJob(resolved, StoreLocation.parse(str(folder)), ranks, "the command")


def run(*args: Any, **options: Any) -> CheckpointRunRecord:
    """Run `job` of the same arguments."""
    return run_checkpoints(job(*args, **options), NoProgress())


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, CheckpointRunRecord]:
    """Return a folder of two checkpoints of three ranks, and the record of their run."""
    folder = tmp_path_factory.mktemp("checkpoints")
    return folder, run(folder, "checkpoint.rank_sync=true")


@pytest.fixture
def copied(written: tuple[Path, CheckpointRunRecord], tmp_path: Path) -> Path:
    """Return a copy of the checkpoints, to be broken."""
    return Path(shutil.copytree(written[0], tmp_path / "copy"))


def test_files_have_the_names_and_sizes_of_the_layout(
    written: tuple[Path, CheckpointRunRecord],
) -> None:
    folder, record = written
    layout = Layout(job(folder).resolved.workload, 3)
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    files = [(rank, file) for rank in range(3) for file in layout.files(rank)]
    assert found == {
        f"global_epoch1_step{step}/{file.name}" for step in (1, 2) for _, file in files
    }
    for _, file in files:
        stored_bytes = (folder / "global_epoch1_step1" / file.name).stat().st_size
        assert file.size_bytes < stored_bytes < file.size_bytes + 100_000
    assert record.layout["files"] == len(files) == 4
    assert record.layout["model_bytes"] + record.layout["optimizer_bytes"] == sum(
        file.size_bytes for _, file in files
    )


def test_the_first_checkpoint_does_not_wait_for_code(tmp_path: Path) -> None:
    """What a rank imports to write is there before the first barrier, where the time begins."""
    place = job(tmp_path, ranks=1)
    script = f"""
import sys
from cm4storage.checkpoint.runs.cycle import Cycle
from cm4storage.checkpoint.runs.job import CheckpointJob
from cm4storage.ranks.communicator import SingleProcess
from cm4storage.storage.opening import open_store
class Ranks(SingleProcess):
    known = None
    def barrier(self):
        self.known = self.known or set(sys.modules)
job, ranks = CheckpointJob.from_document({place.to_document()!r}), Ranks()
with open_store(job.location) as store:
    Cycle(job, ranks, store, lambda count: None).run()
late = [name for name in set(sys.modules) - ranks.known]
print(sorted(name for name in late if name.startswith(("cryptography", "cm4storage.checkpoint"))))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert done.stdout == "[]\n"


def test_no_two_files_hold_the_same(written: tuple[Path, CheckpointRunRecord]) -> None:
    folder, record = written
    tails = [path.read_bytes()[-20_000:-10_000] for path in folder.rglob("*.pt")]
    assert len(set(tails)) == len(tails) == 8
    digests = [each.content_digest for each in record.operations if each.kind == "save"]
    assert len(set(digests)) == len(digests) == 6
    assert {each.content_digest for each in record.operations if each.kind == "load"} == {""}


def test_each_rank_tells_what_it_did(written: tuple[Path, CheckpointRunRecord]) -> None:
    folder, record = written
    layout = Layout(job(folder).resolved.workload, 3)
    told = [(each.kind, each.number, each.rank) for each in record.operations]
    assert sorted(told) == [
        (kind, number, rank) for kind in ("load", "save") for number in (1, 2) for rank in range(3)
    ]
    for each in record.operations:
        assert each.source_rank == each.rank
        assert each.tensor_bytes == layout.size_of(each.rank).total_bytes
        assert each.stored_bytes > each.tensor_bytes
        assert each.duration_s > 0
        assert each.start <= each.end


def test_the_page_cache_is_dropped_or_said_to_be_there(
    written: tuple[Path, CheckpointRunRecord],
) -> None:
    folder, record = written
    if memory_file_system(folder):
        assert record.page_cache["state"] == "resident"
    else:
        assert record.page_cache["state"] in ("dropped", "resident")
        is_dropped = record.page_cache["resident_before_reading"] <= 0.01
        assert (record.page_cache["state"] == "dropped") is is_dropped


def test_figures_are_those_of_the_rules_and_of_dlio(
    written: tuple[Path, CheckpointRunRecord], tmp_path: Path
) -> None:
    _, record = written
    times = {
        ("save", 1): (1.0, 4.0, 2.0), ("save", 2): (3.0, 2.0, 2.0),
        ("load", 1): (0.5, 0.5, 0.25), ("load", 2): (0.5, 0.25, 1.0),
    }  # fmt: skip
    operations = [
        replace(each, duration_s=times[each.kind, each.number][each.rank])
        for each in record.operations
    ]
    figures = of_checkpoint_run(replace(record, operations=operations))
    report = write_checkpoint_files(figures, tmp_path)
    size_gib = (record.layout["model_bytes"] + record.layout["optimizer_bytes"]) / GIB
    assert report["save_duration_max_over_ranks_mean_s"] == 3.5
    assert report["save_throughput_min_over_ranks_mean_gib_per_s"] == pytest.approx(
        (size_gib / 4 + size_gib / 3) / 2
    )
    assert report["load_duration_max_over_ranks_mean_s"] == 0.75
    assert report["save_duration_dlio_rank_0_mean_s"] == 2.0
    summary = json.loads((tmp_path / "summary.json").read_text())
    metric = summary["metric"]
    assert summary["num_accelerators"] == 3
    assert metric["checkpoint_size_GB"] == size_gib
    assert metric["save_checkpoint_duration_mean_seconds"] == 2.0
    assert metric["save_checkpoint_duration_stdev_seconds"] == 1.0
    rates = [size_gib / 1, size_gib / 3]
    assert metric["save_checkpoint_io_mean_GB_per_second"] == statistics.fmean(rates)
    assert metric["load_checkpoint_io_mean_GB_per_second"] == size_gib / 0.5
    for rank in range(3):
        stats = json.loads((tmp_path / f"{rank}_per_epoch_stats.json").read_text())["1"]
        for (kind, number), of_ranks in times.items():
            block = stats[f"{kind}_ckpt{number}"]
            assert block["duration"] == of_ranks[rank]
            assert block["throughput"] == size_gib / of_ranks[rank]
        assert json.loads((tmp_path / f"{rank}_output.json").read_text())["1"]["load"] == {}
    log = (tmp_path / "dlio.log").read_text()
    assert "Finished saving checkpoint 2 for epoch 1 in 3.0000 s; Throughput: " in log
    assert "Checkpoint load duration (seconds): 0.5000 (0.0000)" in log
    config = yaml.safe_load((tmp_path / "dlio_config" / "config.yaml").read_text())["workload"]
    assert config["checkpoint"]["checkpoint_folder"] == record.storage["uri"]


def test_a_record_is_read_as_it_was_written(
    written: tuple[Path, CheckpointRunRecord], tmp_path: Path
) -> None:
    _, record = written
    record.save(tmp_path)
    assert checkpoint_records.load(tmp_path) == record
    path = tmp_path / checkpoint_records.FILE_NAME
    path.write_text(path.read_text().replace('"version": 1', '"version": 99', 1))
    with pytest.raises(UserError, match="has version 99"):
        checkpoint_records.load(tmp_path)
    path.write_text("{}")
    with pytest.raises(UserError, match="no readable record"):
        checkpoint_records.load(tmp_path)


def test_checkpoints_that_are_there_are_read_alone_and_by_other_ranks(copied: Path) -> None:
    record = run(copied, f"{READ_ONLY} checkpoint.recovery_rank_shift=true")
    assert {each.kind for each in record.operations} == {"load"}
    shifts = {(each.rank, each.source_rank) for each in record.operations}
    assert shifts == {(0, 1), (1, 2), (2, 0)}
    sizes = {each.rank: each.tensor_bytes for each in record.operations}
    assert sizes[2] > sizes[0] == sizes[1]
    report = build_report(of_checkpoint_run(record))
    assert (report["save_count"], report["load_count"]) == (0, 2)
    assert report["save_duration_max_over_ranks_mean_s"] is None
    assert "save_checkpoint_io_mean_GB_per_second" not in str(report)


def test_a_checkpoint_that_is_not_there_is_named(copied: Path) -> None:
    (copied / "global_epoch1_step2" / "model_0_model_states.pt").unlink()
    with pytest.raises(UserError, match="checkpoint 2 is not there to be read") as caught:
        run(copied, READ_ONLY)
    assert caught.value.where.startswith("rank 0 of 3: ")
    assert caught.value.where.endswith("global_epoch1_step2/model_0_model_states.pt")


def test_checkpoints_of_another_model_are_found_out(copied: Path) -> None:
    with pytest.raises(StorageFault, match="the checkpoint is another one"):
        run(copied, f"{READ_ONLY} model.num_layers=3")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("flip", r"tensor '2' is not as it was written: its CRC-32 differs"),
        ("cut", r"it has no directory at its end"),
        ("empty", r"it has no directory at its end"),
    ],
)
def test_damage_is_found_and_named(copied: Path, change: str, message: str) -> None:
    path = copied / "global_epoch1_step1" / "zero_pp_rank_1_mp_rank_0_optim_states.pt"
    content = bytearray(path.read_bytes())
    if change == "flip":
        content[len(content) // 2] ^= 1
    elif change == "cut":
        del content[len(content) // 2 :]
    else:
        content.clear()
    path.write_bytes(content)
    with pytest.raises(StorageFault, match=message) as caught:
        run(copied, READ_ONLY)
    assert "rank 1 of 3" in caught.value.where
    assert path.name in caught.value.where


def test_an_archive_of_a_later_zip_version_is_damaged(copied: Path) -> None:
    path = next(copied.glob("global_epoch1_step1/*_model_states.pt"))
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 6] ^= 128  # the version that is needed to read it
    path.write_bytes(content)
    with pytest.raises(StorageFault, match="it has no directory at its end: zip file version"):
        run(copied, READ_ONLY)


def test_every_flip_in_a_small_archive_is_found_or_meaningless(copied: Path) -> None:
    from cm4storage.checkpoint.runs.archive_reading import read_archive
    from cm4storage.storage.opening import open_store

    layout = Layout(job(copied).resolved.workload, 3)
    (file,) = layout.files(1)
    key = f"global_epoch1_step1/{file.name}"
    path = copied / key
    content = path.read_bytes()
    data = sum(tensor.size_bytes for tensor in file.tensors)
    found = 0
    with open_store(StoreLocation.parse(str(copied))) as store:
        positions = range(0, len(content), len(content) // 60)
        for at in positions:
            path.write_bytes(content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :])
            with contextlib.suppress(DamagedCheckpoint):
                read_archive(store, key, file, note=NoProgress().advance)
                continue
            found += 1
    assert found >= len(positions) * (data / len(content)) - 2


def test_ones_are_written_where_the_workload_wants_no_random_data(tmp_path: Path) -> None:
    run(tmp_path, "checkpoint.randomize_tensor=false checkpoint.num_checkpoints_write=1 "
        "checkpoint.num_checkpoints_read=0", ranks=1)  # fmt: skip
    (model,) = tmp_path.rglob("model_0_model_states.pt")
    assert model.read_bytes().count(b"\x00\x3c" * 1000) > 0


def test_without_space_nothing_is_written(tmp_path: Path) -> None:
    resolved = resolve(Request(model="llama3_1t"))
    huge = CheckpointJob(resolved, StoreLocation.parse(str(tmp_path / "c")), 1024, "")
    with pytest.raises(StorageFault, match=r"10 checkpoints of 15\.1 TiB need 15[0-9]\.") as caught:
        run_checkpoints(huge, NoProgress())
    assert caught.value.advice.endswith("nothing was written")
    assert list(tmp_path.rglob("*.pt")) == []


def test_files_past_the_page_cache_are_the_same(
    written: tuple[Path, CheckpointRunRecord], tmp_path: Path
) -> None:
    folder, record = written
    try:
        direct = run(f"directio://{tmp_path}", "checkpoint.num_checkpoints_read=1")
    except StorageFault as fault:
        if memory_file_system(tmp_path):
            pytest.skip(fault.what)
        raise
    for path in sorted(folder.rglob("*.pt")):
        assert (tmp_path / path.relative_to(folder)).read_bytes() == path.read_bytes()
    digests = [
        [each.content_digest for each in of_checkpoint_run(one).saves] for one in (record, direct)
    ]
    assert digests[0] == digests[1]
    assert None not in digests[0]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ("workflow.train=true", "checkpoints alone are written where"),
        ("checkpoint.num_checkpoints_write=0 checkpoint.num_checkpoints_read=0",
         "no checkpoint is to be written or read"),
    ],
)  # fmt: skip
def test_a_workload_without_checkpoints_is_refused(
    tmp_path: Path, params: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        run(tmp_path, params)


@pytest.mark.parametrize(
    "model", ["llama3_8b", "llama3_70b", "llama3_405b", "llama3_1t", "llama_7b", "llama_70b_zero3"]
)
def test_the_quick_scale_is_small_and_keeps_the_shape(model: str) -> None:
    quick = resolve(Request(model=model, scale="quick")).workload
    stock = resolve(Request(model=model)).workload
    layout, whole = Layout(quick), Layout(stock)
    assert layout.ranks == 4
    total = layout.total.total_bytes
    assert 100 * MIB < total * quick.checkpoint.num_checkpoints_write < 200 * MIB
    assert quick.checkpoint.num_checkpoints_read == 2
    assert quick.model.parallelism_zero_stage == stock.model.parallelism_zero_stage
    of_model = layout.total.model_bytes / total
    assert of_model == pytest.approx(whole.total.model_bytes / whole.total.total_bytes, abs=0.03)


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """Return the command that runs a small workload whose checkpoints are an hour apart."""
    params = SMALL.replace("between_checkpoints=0", "between_checkpoints=3600")
    resolve(Request(model="llama_7b", params=params)).save(tmp_path / "w.json")
    return [sys.executable, "-m", "cm4storage", "checkpoint", "--workload=w.json", "--ranks=4"]


def test_a_killed_rank_ends_the_run_with_its_name_and_leaves_no_results(
    command: list[str], tmp_path: Path
) -> None:
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    ranks = children(process.pid)
    os.kill(ranks[2], signal.SIGKILL)
    _, told = process.communicate(timeout=200)
    assert process.returncode == 143
    assert "rank 2 of 4 was killed by signal 9 (SIGKILL); all others were ended" in told
    assert not (tmp_path / "results").exists()
    wait_for_end(ranks)


def test_a_run_that_is_stopped_takes_its_ranks_with_it(command: list[str], tmp_path: Path) -> None:
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    ranks = children(process.pid)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=200)
    assert (process.returncode, "interrupted" in told) == (130, True)
    wait_for_end(ranks)


def children(pid: int) -> list[int]:
    """Wait for the four ranks, and return their processes in order."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    while len(found := path.read_text().split()) < 4:
        time.sleep(0.05)
    return [int(each) for each in found]


def wait_for_end(pids: list[int]) -> None:
    """Wait until none of the processes runs; one that waits for its parent's look does not."""
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                time.sleep(0.05)

"""The checkpoints of a run on each backend: saved, found, passed over, removed."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from cm4storage.checkpoint.catalogue import Checkpoints
from cm4storage.checkpoint.encoding import Encoding
from cm4storage.checkpoint.payload import GeneratedPayload
from cm4storage.checkpoint.state import StatePayload
from cm4storage.checkpoint.tensors import Tensor
from cm4storage.core.errors import StorageFault, UserError
from cm4storage.storage import embedded
from cm4storage.storage.location import StoreLocation
from cm4storage.storage.opening import open_store
from cm4storage.storage.wrapper import StoreWrapper

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cm4storage.storage.store import Store

TENSORS = (Tensor("a", "F16", (1000, 1000)), Tensor("b", "F32", (3_000_000,)))
BACKENDS = ("file", "directio", "s3", "az")


@pytest.fixture(scope="session")
def locations(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, StoreLocation]]:
    """Where each backend keeps checkpoints; the servers run until the end."""
    folder = tmp_path_factory.mktemp("backends")
    with contextlib.ExitStack() as stack:
        for kind in ("s3", "azure"):
            stack.enter_context(embedded.connect(folder / kind, kind))
        yield {
            "file": StoreLocation.parse(str(folder / "file")),
            "directio": StoreLocation.parse(f"directio://{folder}/directio"),
            "s3": StoreLocation.parse("s3://cm4storage/ck", server_dir=folder / "s3"),
            "az": StoreLocation.parse("az://cm4storage/ck", server_dir=folder / "azure"),
        }


@pytest.fixture(params=BACKENDS)
def store(request: pytest.FixtureRequest, locations: dict[str, StoreLocation]) -> Iterator[Store]:
    if request.param == "directio":
        request.getfixturevalue("needs_direct_io")
    with open_store(locations[request.param]) as opened:
        yield opened


@pytest.fixture
def run_id(request: pytest.FixtureRequest) -> str:
    return f"run-{abs(hash(request.node.name))}"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Store]:
    with open_store(StoreLocation.parse(str(tmp_path / "ck"))) as opened:
        yield opened


def right(step: int) -> dict[str, bytes]:
    payload = GeneratedPayload(TENSORS, step=step)
    content = {}
    for number, tensor in enumerate(TENSORS):
        data = bytearray(tensor.size_bytes)
        payload.fill(number, 0, memoryview(data))
        content[tensor.name] = bytes(data)
    return content


def contents(state: dict[str, Any]) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in state.items()}


@pytest.mark.parametrize("level", [None, 1], ids=["plain", "zstd"])
def test_what_is_saved_is_found_and_read(store: Store, run_id: str, level: int | None) -> None:
    run_id = f"{run_id}-{level}"
    checkpoints = Checkpoints(store, run_id, Encoding(zstd_level=level))
    assert checkpoints.newest().manifest is None
    for step in (10, 20):
        checkpoints.save(step, GeneratedPayload(TENSORS, step=step), epoch=1)
    keys = [item.key.removeprefix(f"{run_id}/") for item in store.list(f"{run_id}/")]
    assert keys == [
        *("latest", "step_00000010.ckpt", "step_00000010.json"),
        *("step_00000020.ckpt", "step_00000020.json"),
    ]
    found = checkpoints.newest_intact()
    assert found.passed_over == ()
    assert found.manifest is not None
    assert (found.manifest.step, found.manifest.epoch) == (20, 1)
    assert contents(checkpoints.state(found.manifest)) == right(20)
    assert checkpoints.read(found.manifest, "b").tobytes() == right(20)["b"]
    assert checkpoints.keep_last(1) == [10]
    assert checkpoints.steps() == [20]
    with store.read(f"{run_id}/latest") as view:
        assert json.loads(bytes(view)) == {"step": 20, "manifest": f"{run_id}/step_00000020.json"}


def test_newer_ones_that_are_not_complete_are_passed_over(folder: Store, tmp_path: Path) -> None:
    checkpoints, place = Checkpoints(folder, "r"), tmp_path / "ck" / "r"
    for step in (1, 2, 3, 4, 5):
        checkpoints.save(step, GeneratedPayload(TENSORS, step=step))
    (place / "step_00000005.json").unlink()
    (place / "step_00000004.json").write_text('{"schema": "cm4stor')
    (place / "step_00000003.ckpt").unlink()
    with (place / "step_00000002.ckpt").open("r+b") as file:
        file.truncate(5000)
    found = checkpoints.newest()
    assert found.manifest is not None
    assert found.manifest.step == 1
    assert [step for step, _ in found.passed_over] == [5, 4, 3, 2]
    reasons = [reason for _, reason in found.passed_over]
    assert "did not end" in reasons[0]
    assert "cannot be read" in reasons[1]
    assert "is missing" in reasons[2]
    assert "has 5,000 bytes in place of " in reasons[3]


def test_a_damaged_one_is_passed_over_where_every_byte_is_looked_at(
    folder: Store, tmp_path: Path
) -> None:
    checkpoints = Checkpoints(folder, "r")
    for step in (1, 2):
        checkpoints.save(step, GeneratedPayload(TENSORS, step=step))
    with (tmp_path / "ck" / "r" / "step_00000002.ckpt").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"?")
    newest = checkpoints.newest().manifest
    assert newest is not None
    assert newest.step == 2
    intact = checkpoints.newest_intact()
    assert intact.manifest is not None
    assert intact.manifest.step == 1
    ((step, reason),) = intact.passed_over
    assert step == 2
    assert "tensor 'b', between its bytes" in reason
    with pytest.raises(StorageFault, match="tensor 'b'"):
        checkpoints.state(newest)


class Dead(StoreWrapper):
    """A store that lists, and does not let anybody read."""

    def read(
        self, key: str, *, start: int = 0, length: int | None = None
    ) -> contextlib.AbstractContextManager[memoryview]:
        raise StorageFault("no answer", where=f"{key} {start} {length}")


def test_a_storage_that_fails_is_not_taken_for_one_without_checkpoints(folder: Store) -> None:
    Checkpoints(folder, "r").save(1, GeneratedPayload(TENSORS))
    with pytest.raises(StorageFault, match="no answer"):
        Checkpoints(Dead(folder), "r").newest()


def test_keep_last_removes_what_broken_off_writing_left(folder: Store, tmp_path: Path) -> None:
    checkpoints, place = Checkpoints(folder, "r"), tmp_path / "ck" / "r"
    for step in (1, 2, 3, 4):
        checkpoints.save(step, GeneratedPayload(TENSORS))
    (place / "step_00000002.json").unlink()
    (place / "step_00000005.ckpt").write_bytes(b"another one may be writing this")
    assert checkpoints.keep_last(2) == [1]
    assert sorted(path.name for path in place.glob("*.ckpt")) == [
        f"step_0000000{n}.ckpt" for n in (3, 4, 5)
    ]


def test_a_step_saved_again_takes_the_place_of_the_old_one(folder: Store) -> None:
    checkpoints = Checkpoints(folder, "r")
    checkpoints.save(7, GeneratedPayload(TENSORS, step=1))
    manifest = checkpoints.save(7, GeneratedPayload(TENSORS, step=2))
    assert contents(checkpoints.state(manifest)) == right(2)
    found = checkpoints.newest_intact().manifest
    assert found is not None
    assert found.file == manifest.file


def test_a_nested_state_comes_back_as_it_was(folder: Store) -> None:
    state = {
        "model": {"w": np.arange(12.0).reshape(3, 4), "scale": np.float32(3)},
        "optimizer": {"state": {0: {"step": 3, "m": np.ones(4, np.float16)}}},
        "groups": [{"lr": 0.1, "betas": (0.9, 0.99), "name": None, "on": True}],
        "big endian": np.arange(3, dtype=">i4"),
    }
    checkpoints = Checkpoints(folder, "r")
    checkpoints.save(1, StatePayload(state))
    manifest = checkpoints.newest().manifest
    assert manifest is not None
    back = checkpoints.state(manifest)
    assert np.array_equal(back["model"]["w"], state["model"]["w"])
    assert back["model"]["scale"].shape == ()
    assert back["optimizer"]["state"][0]["step"] == 3
    assert back["optimizer"]["state"][0]["m"].dtype == np.float16
    assert back["groups"] == state["groups"]
    assert back["big endian"].tolist() == [0, 1, 2]


def test_a_snapshot_does_not_change_with_the_state() -> None:
    weights = np.zeros(100)
    payload = StatePayload({"w": weights})
    snapshot = payload.snapshot()
    weights += 1
    data = bytearray(800)
    snapshot.fill(0, 0, memoryview(data))
    assert bytes(data) == bytes(800)
    payload.fill(0, 0, memoryview(data))
    assert bytes(data) != bytes(800)


def test_what_no_checkpoint_can_hold_is_named() -> None:
    with pytest.raises(UserError, match="no checkpoint can hold: object") as caught:
        StatePayload({"a": {"b": [1, object()]}})
    assert caught.value.where == "a.b.1"
    with pytest.raises(UserError, match="neither text nor number"):
        StatePayload({"a": {(1, 2): 3}})


def test_a_manifest_of_a_newer_release_is_passed_over_with_its_version(
    folder: Store, tmp_path: Path
) -> None:
    checkpoints = Checkpoints(folder, "r")
    checkpoints.save(1, GeneratedPayload(TENSORS))
    path = tmp_path / "ck" / "r" / "step_00000001.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": 99}))
    ((_, reason),) = checkpoints.newest().passed_over
    assert "version 99; this release reads up to 1" in reason

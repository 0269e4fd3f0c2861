"""Whole checkpoints meet PyTorch: it loads what we wrote, and we read what it saved."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from cm4storage.checkpoint.runs.conducting import run_checkpoints
from cm4storage.checkpoint.runs.job import CheckpointJob
from cm4storage.core.errors import StorageFault
from cm4storage.core.progress import NoProgress
from cm4storage.storage.location import StoreLocation
from cm4storage.workload.resolve import Request, resolve

if TYPE_CHECKING:
    from pathlib import Path

    from dlio_peer import Peer

    from cm4storage.checkpoint.models.layout import Layout

SMALL = (
    "model.num_layers=2 model.transformer.hidden_size=64 model.transformer.ffn_hidden_size=96 "
    "model.transformer.vocab_size=128 model.transformer.num_attention_heads=4 "
    "model.transformer.num_kv_heads=2 checkpoint.time_between_checkpoints=0 "
)

LOAD = """
import json, sys, torch
found = {}
for path in sys.argv[1:]:
    state = torch.load(path, weights_only=True)
    model = {k: {n: [str(t.dtype), t.numel()] for n, t in v.items()} if isinstance(v, dict)
             else [str(v.dtype), v.numel()] for k, v in state.items()}
    found[path.rsplit("/", 1)[1]] = model
print(json.dumps(found))
"""

SAVE = """
import json, os, sys, torch
os.makedirs(sys.argv[1])
for name, state in json.loads(sys.argv[2]).items():
    made = {}
    for path, (dtype, count) in state.items():
        *folders, last = path.split("/")
        place = made
        for folder in folders:
            place = place.setdefault(folder, {})
        place[last] = torch.rand(count).to(getattr(torch, dtype))
    torch.save(made, os.path.join(sys.argv[1], name))
print("true")
"""


def job(folder: Path, params: str, model: str = "llama3_8b") -> CheckpointJob:
    """Return the job of a small model with two ranks."""
    resolved = resolve(Request(model=model, params=f"{SMALL} {params}"))
    return CheckpointJob(resolved, StoreLocation.parse(str(folder)), 2, "")


def test_torch_loads_the_states_of_each_rank(tmp_path: Path, peer: Peer) -> None:
    counts = "checkpoint.num_checkpoints_write=1 checkpoint.num_checkpoints_read=0"
    run_checkpoints(job(tmp_path / "ours", counts), NoProgress())
    files = sorted(map(str, (tmp_path / "ours").rglob("*.pt")))
    found = peer.evaluate(LOAD, *files)
    assert len(found) == 4
    for rank in (0, 1):
        layers = found[f"zero_pp_rank_{rank}_mp_rank_0_model_states.pt"]
        assert list(layers) == ["0", "1", "2", "3", "4"]
        assert layers["0"] == layers["3"] == {"0": ["torch.float16", 64 * 128 // 2]}
        assert layers["1"] == layers["2"]
        assert layers["1"]["1"] == ["torch.float16", 64 * (64 + 2 * 32) // 2]
        states = found[f"zero_pp_rank_{rank}_mp_rank_0_optim_states.pt"]
        assert list(states) == list("012345")
        assert states["1"] == ["torch.float32", 5 * 64]


def test_what_torch_saved_is_read_and_its_damage_is_found(tmp_path: Path, peer: Peer) -> None:
    counts = "checkpoint.num_checkpoints_write=0 checkpoint.num_checkpoints_read=1"
    folder = tmp_path / "theirs"
    ours = job(folder, counts)
    peer.evaluate(SAVE, str(folder / "global_epoch1_step1"), json.dumps(_states(ours.layout)))
    record = run_checkpoints(ours, NoProgress())
    assert sum(each.tensor_bytes for each in record.operations) == ours.layout.total.total_bytes
    path = folder / "global_epoch1_step1" / "zero_pp_rank_1_mp_rank_0_optim_states.pt"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    with pytest.raises(StorageFault, match="is not as it was written"):
        run_checkpoints(ours, NoProgress())


def _states(layout: Layout) -> dict[str, Any]:
    names = {"F16": "float16", "F32": "float32"}
    return {
        file.name: {t.name: [names[t.dtype], t.elements] for t in file.tensors}
        for rank in range(layout.ranks)
        for file in layout.files(rank)
    }

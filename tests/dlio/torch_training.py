"""A training with PyTorch that writes checkpoints: trains until it is killed, or restores.

Run by test_torch_training.py in the Python that has torch; prints digests as JSON, one a line.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from typing import Any

import torch

import cm4storage

INTERVAL = 3


def parts() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """Return a model with weights of two types, and an optimizer with a state."""
    torch.manual_seed(7)
    model = torch.nn.Sequential(
        torch.nn.Linear(16, 32), torch.nn.BatchNorm1d(32), torch.nn.Linear(32, 4)
    )
    return model, torch.optim.Adam(model.parameters(), lr=0.01)


def step(model: torch.nn.Module, optimizer: torch.optim.Optimizer, number: int) -> None:
    generator = torch.Generator().manual_seed(number)
    batch = torch.rand(8, 16, generator=generator)
    optimizer.zero_grad()
    model(batch).square().mean().backward()
    optimizer.step()


def digest(value: Any) -> str:
    """Return a digest of all that is in a state, tensors by type, shape and bytes."""
    found = hashlib.sha256()

    def add(each: Any) -> None:
        if isinstance(each, dict):
            for key, inner in each.items():
                found.update(repr(key).encode())
                add(inner)
        elif isinstance(each, (list, tuple)):
            for inner in each:
                add(inner)
        elif isinstance(each, torch.Tensor):
            found.update(f"{each.dtype} {tuple(each.shape)}".encode())
            found.update(each.detach().reshape(-1).view(torch.uint8).numpy().tobytes())
        else:
            found.update(repr(each).encode())

    add(value)
    return found.hexdigest()


def say(model: torch.nn.Module, optimizer: torch.optim.Optimizer, number: int) -> None:
    states = {"model": digest(model.state_dict()), "optimizer": digest(optimizer.state_dict())}
    sys.stdout.write(json.dumps({"step": number} | states) + "\n")
    sys.stdout.flush()


def train(location: str, *, is_async: bool) -> None:
    model, optimizer = parts()
    with cm4storage.CheckpointPlugin(
        location, run_id="torch", steps_between_checkpoints=INTERVAL, is_async=is_async
    ) as checkpoints:
        number = 0
        while True:
            number += 1
            step(model, optimizer, number)
            checkpoints.after_step(
                number,
                lambda: {"model": model.state_dict(), "optimizer": optimizer.state_dict()},
            )
            if number == INTERVAL:
                say(model, optimizer, number)
            while number > INTERVAL:
                time.sleep(1)  # until it is killed


def restore(location: str) -> None:
    model, optimizer = parts()
    with cm4storage.CheckpointPlugin(
        location, run_id="torch", steps_between_checkpoints=INTERVAL
    ) as checkpoints:
        restored = checkpoints.restore(torch.from_numpy)
    assert restored is not None
    model.load_state_dict(restored.state["model"])
    optimizer.load_state_dict(restored.state["optimizer"])
    say(model, optimizer, restored.step)
    step(model, optimizer, restored.step + 1)
    say(model, optimizer, restored.step + 1)


if __name__ == "__main__":
    if sys.argv[1] == "restore":
        restore(sys.argv[2])
    else:
        train(sys.argv[2], is_async=sys.argv[1] == "async")

"""The stock workloads, as DLIO YAML files in this folder.

Their values are those of the DLIO and MLPerf Storage workload configurations of the same names;
``docs/adr/0011-workload-configuration.md`` says how they are named. What accelerators of a model
share is in the folder ``base``, and comes in by the same ``defaults`` lists that users have.
"""

from __future__ import annotations

import re
from pathlib import Path

from cm4storage.core.errors import UserError

FOLDER = Path(__file__).resolve().parent

ACCELERATORS = ("h100", "b200", "mi355", "a100", "v100")
"""In the order in which one is chosen for a model without a word about it."""

_ACCELERATOR = re.compile(rf"_({'|'.join(ACCELERATORS)})(?![a-z0-9])")


def names() -> list[str]:
    """Return all stock workloads, such as ``unet3d_h100`` or ``llama3_8b``."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def path_of(name: str) -> Path:
    """Return the file of a stock workload."""
    return FOLDER / f"{name}.yaml"


def source_of(path: Path) -> str:
    """Return how messages name a file of this folder; empty for others."""
    path = path.resolve()
    return path.relative_to(FOLDER).as_posix() if FOLDER in path.parents else ""


def origin(name: str) -> str:
    """Return whose values a stock workload has, such as ``MLPerf Storage v2.0``."""
    with path_of(name).open(encoding="utf-8") as stream:
        return stream.readline().removeprefix("#").strip().rstrip(".")


def accelerator_in(name: str) -> str:
    """Return the accelerator that the name of a workload or file tells; empty where none."""
    found = _ACCELERATOR.search(name)
    return found.group(1) if found else ""


def find(model: str, accelerator: str) -> str:
    """Return the name of the stock workload of a model and accelerator.

    Parameters
    ----------
    model : str
        A model, or the whole name of a workload.
    accelerator : str
        Empty: the workload whose name is `model`, else the first one of `ACCELERATORS` it has.

    Raises
    ------
    UserError
        Naming what there is.
    """
    available = names()
    if accelerator:
        wanted = [f"{model}_{accelerator}"]
    else:
        wanted = [model, *(f"{model}_{name}" for name in ACCELERATORS)]
    found = next((name for name in wanted if name in available), None)
    if found is not None:
        return found
    same_model = [other for other in available if other == model or other.startswith(f"{model}_")]
    raise UserError(
        f"there is no stock workload {wanted[0]}",
        meaning=f"{model} exists as: {', '.join(same_model)}" if same_model else "",
        advice=f"choose one of: {', '.join(available)}; or give your own with --config=FILE",
    )

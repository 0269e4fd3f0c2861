"""The stock workloads, as DLIO YAML files in this folder.

Their values are those of the DLIO and MLPerf Storage workload configurations of the same names.
"""

from __future__ import annotations

from importlib import resources

from cm4storage.core.errors import UserError


def names() -> list[str]:
    """Return all stock workloads as ``<model>_<accelerator>``."""
    files = resources.files(__name__).iterdir()
    return sorted(file.name[:-5] for file in files if file.name.endswith(".yaml"))


def read(model: str, accelerator: str) -> str:
    """Return the YAML text of one stock workload.

    Raises
    ------
    UserError
        Naming what there is.
    """
    name = f"{model}_{accelerator}"
    available = names()
    if name in available:
        return resources.files(__name__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    same_model = [other for other in available if other.startswith(f"{model}_")]
    raise UserError(
        f"there is no stock workload {name}",
        meaning=f"{model} exists as: {', '.join(same_model)}" if same_model else "",
        advice=f"choose one of: {', '.join(available)}; or give your own with --config=FILE",
    )

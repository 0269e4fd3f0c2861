"""The command line of ``dlio_benchmark``: overrides of a workload and of Hydra's own settings.

Source: "Hydra's command line flags" in the documentation of Hydra 1.3, and ``configs/config.yaml``
of dlio_benchmark, which chooses the workload ``default`` and names the folder of a run.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import UsageError, UserError, is_secret_name
from cm4storage.workload.explain import Request
from cm4storage.workload.interpolation import Interpolation, Surroundings
from cm4storage.workload.reading import override_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cm4storage.workload.explain import Explained
    from cm4storage.workload.grammar import Override

DEFAULT_WORKLOAD = "default"
DEFAULT_RUN_DIR = "./hydra_log/${workload.model.name}/${now:%Y-%m-%d-%H-%M-%S}"
DEFAULT_OUTPUT_SUBDIR = ".hydra"

_SEVERAL_RUNS = (
    "hydra.sweep",
    "hydra.sweeper",
    "hydra/launcher",
    "hydra/sweeper",
    "hydra.launcher",
)
_SOURCE = "the command line:"


@dataclass(frozen=True)
class HydraLine:
    """A command line of ``dlio_benchmark``, understood.

    Attributes
    ----------
    workload : str
        The chosen workload.
    task : tuple of str
        All overrides that are not about Hydra itself, as written, without secrets.
    words : tuple of str
        Those that change the chosen workload, secrets included.
    hydra : dict
        Hydra's own settings by dotted path, such as ``run.dir``.
    hydra_words : tuple of str
        The overrides that they come from.
    config_dir : Path or None
    """

    workload: str
    task: tuple[str, ...]
    words: tuple[str, ...] = ()
    hydra: dict[str, Any] = field(default_factory=dict)
    hydra_words: tuple[str, ...] = ()
    config_dir: Path | None = None

    def request(self) -> Request:
        """Return what this asks for."""
        return Request(
            model=self.workload,
            params=shlex.join(self.words),
            config_dir=self.config_dir,
            surroundings=self.surroundings(),
        )

    def surroundings(self) -> Surroundings:
        """Return what interpolations see of Hydra."""
        known = {
            "runtime.cwd": str(Path.cwd()),
            "runtime.choices.workload": self.workload,
            "job.name": "dlio_benchmark",
            "job.override_dirname": ",".join(self.task),
        }
        return Surroundings(known | self.hydra)

    def run_dir(self, explained: Explained) -> Path:
        """Return the folder of the run, absolute.

        Raises
        ------
        UserError
            If an interpolation in ``hydra.run.dir`` cannot be resolved.
        """
        text = str(self.hydra.get("run.dir", DEFAULT_RUN_DIR))
        name = explained.workload.model.name
        text = text.replace("${workload.model.name}", name).replace("${workload.model}", name)
        inner = Interpolation(explained.settings.entries, self.surroundings())
        try:
            resolved = str(inner.text(text)) if "${" in text else text
        except ValueError as error:
            raise UserError(f"hydra.run.dir: {error}", where=text) from error
        if not resolved or "\0" in resolved:
            raise UserError("hydra.run.dir names no folder", where=text)
        return Path(resolved).expanduser().absolute()

    def shown(self) -> list[str]:
        """Return the words of the line without secrets, as a record may hold them."""
        folder = [f"--config-dir={self.config_dir}"] if self.config_dir is not None else []
        return [*self.task, *folder, *self.hydra_words]

    @property
    def output_subdir(self) -> str | None:
        """The folder of the configuration below that of the run; None: it is not kept."""
        name = self.hydra.get("output_subdir", DEFAULT_OUTPUT_SUBDIR)
        return None if name is None else str(name)


def parse_line(words: Sequence[str], config_dir: Path | None = None) -> HydraLine:
    """Return what the words of a command line mean, flags left out.

    Raises
    ------
    UserError
        For a word that is no override, or one about something that DLIO does not have.
    """
    overrides = [override_of(word, _SOURCE) for word in words]
    hydra: dict[str, Any] = {}
    choice, task, words_kept, hydra_words = DEFAULT_WORKLOAD, [], [], []
    for override in overrides:
        if override.path.startswith(("hydra.", "hydra/")):
            _hydra_setting(override, hydra)
            hydra_words.append(override.text)
            continue
        task.append(_without_secret(override))
        if override.path == "workload" and not isinstance(override.value, dict):
            choice = _choice(override)
            continue
        words_kept.append(override.text)
        if not override.path.startswith("workload.") and override.path != "workload":
            raise _not_of_dlio(override)
    return HydraLine(choice, tuple(task), tuple(words_kept), hydra, tuple(hydra_words), config_dir)


def _without_secret(override: Override) -> str:
    if not is_secret_name(override.path.rpartition(".")[2]):
        return override.text
    return f"{override.text.partition('=')[0]}=***"


def _choice(override: Override) -> str:
    name = override.value
    if not isinstance(name, str) or not name or os.sep in name or name.startswith("."):
        raise UserError(
            f"{override.text} names no workload",
            advice="write workload=NAME; the names are listed by: cm4storage workload --list",
        )
    return name.removesuffix(".yaml")


def _hydra_setting(override: Override, hydra: dict[str, Any]) -> None:
    if override.path.startswith(_SEVERAL_RUNS):
        raise UsageError(
            f"{override.text}: several runs by one command are not supported",
            advice="call the command once for each run",
        )
    name = override.path.removeprefix("hydra.")
    if override.action == "remove":
        hydra.pop(name, None)
    else:
        hydra[name] = override.value


def _not_of_dlio(override: Override) -> UserError:
    return UserError(
        f"{override.text}: DLIO has no such setting",
        meaning="its keys stand under workload, and Hydra's own under hydra",
        advice=f"write ++workload.{override.path}=...",
    )

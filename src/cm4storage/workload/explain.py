"""From a request to a workload, with the origin of every value and all that is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cm4storage.core.errors import UsageError, UserError, is_secret_name
from cm4storage.workload import stock
from cm4storage.workload.composition import Composed, Composer, read_config
from cm4storage.workload.dialects import Dialect, detect
from cm4storage.workload.entries import Layer, Origin, merged, nested
from cm4storage.workload.interpolation import Surroundings
from cm4storage.workload.model import Scale, Workload, default_settings
from cm4storage.workload.problems import Problem
from cm4storage.workload.reading import Settings, override_layer, split_overrides, typed
from cm4storage.workload.rules import problems_of, remarks
from cm4storage.workload.scaling import quick_settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DEFAULT_MODEL = "unet3d"
DEFAULT_ACCELERATOR = stock.ACCELERATORS[0]


@dataclass(frozen=True)
class Request:
    """What the user asks for.

    Attributes
    ----------
    model, accelerator : str
        Name a stock workload; `DEFAULT_MODEL` and `DEFAULT_ACCELERATOR` where empty. `model` may
        be the whole name.
    config : Path or None
        A DLIO YAML file, in place of model and accelerator.
    scale : {'quick', 'stock'}
        See `Workload.scale`.
    params : str
        Overrides, ``"section.key=value …"``.
    seed : int or None
        Takes the place of ``train.seed``.
    config_dir : Path or None
        A folder of workloads, before the stock ones, and of what defaults lists name.
    surroundings : Surroundings
        What interpolations can see beside the workload.
    """

    model: str = ""
    accelerator: str = ""
    config: Path | None = None
    scale: Scale = "stock"
    params: str = ""
    seed: int | None = None
    config_dir: Path | None = None
    surroundings: Surroundings = field(default_factory=Surroundings)


@dataclass(frozen=True)
class Explained:
    """A workload and all that is known of how it came about.

    Attributes
    ----------
    workload : Workload
        With errors among `problems`, it has defaults where values are wrong.
    source : str
        The stock workload's name or the file's path.
    changed : tuple of str
        The keys that the scale and the user changed in `source`.
    origins : dict
        The `Origin` of every key that is not at its default by absence.
    settings : Settings
        The typed and raw values, and the notes about them.
    problems : tuple of Problem
    dialect : Dialect
    composed : Composed
        What the files say.
    """

    workload: Workload
    source: str
    changed: tuple[str, ...]
    origins: Mapping[str, Origin]
    settings: Settings
    problems: tuple[Problem, ...]
    dialect: Dialect
    composed: Composed

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know: keys without effect, a scale that is not comparable."""
        less = "fewer and smaller files"
        if self.workload.writes_checkpoints_only:
            less = "a smaller model, fewer ranks and checkpoints"
        quick = f"quick scale: {less}; not comparable with other results"
        return (
            *self.settings.notes,
            *self.dialect.notes(),
            *((quick,) if self.workload.scale == "quick" else ()),
            *remarks(self.workload),
        )

    def as_written(self) -> dict[str, Any]:
        """Return the composed configuration under the names that were written, without secrets."""
        entries = self.settings.entries.values()
        written = {e.name: e.raw for e in entries if not is_secret_name(e.name)}
        if not written.keys() & {"model", "model.name"}:
            written["model.name"] = self.workload.model.name
        return nested(written)


@dataclass(frozen=True)
class _Base:
    composed: Composed
    source: str
    accelerator: str
    default_name: str = ""

    def values(self, settings: Settings) -> dict[str, Any]:
        """Return typed values, the file's name as the model's where it has none."""
        name = {"model.name": self.default_name} if self.default_name else {}
        return default_settings() | name | settings.values


def explain(request: Request) -> Explained:
    """Return the workload that `request` asks for, and all that is wrong with it.

    Raises
    ------
    UserError
        Where there is nothing to explain: an unknown stock workload, a file that is no YAML.
    """
    base = _base(request)
    wrong: list[Problem] = []
    overrides = _overrides(request, wrong)
    settings = typed(merged([*base.composed.layers, overrides]), request.surroundings)
    values, origins = base.values(settings), dict(settings.origins)
    changed = {*overrides.entries, *_removed(overrides, base)}
    if request.scale == "quick":
        quick = _quick(base, settings, request)
        fresh = {path: v for path, v in quick.items() if path not in overrides.entries}
        values |= fresh
        origins |= {path: Origin("quick") for path in fresh}
        changed |= set(fresh)
    if request.seed is not None:
        values["train.seed"] = request.seed
        origins["train.seed"] = Origin("seed")
        changed.add("train.seed")
    workload = Workload.from_settings(values, accelerator=base.accelerator, scale=request.scale)
    wrong += settings.problems
    source = f"{base.source} with --params" if overrides.entries else base.source
    wrong += problems_of(workload, source)
    known = tuple(sorted(path for path in changed if path in values))
    dialect = detect(merged(base.composed.layers).values())
    return Explained(
        workload, base.source, known, origins, settings, tuple(wrong), dialect, base.composed
    )


def _removed(overrides: Layer, base: _Base) -> list[str]:
    below = merged(base.composed.layers)
    return [p for p in below for r in overrides.removed if p == r or p.startswith(f"{r}.")]


def _overrides(request: Request, wrong: list[Problem]) -> Layer:
    try:
        return override_layer(split_overrides(request.params))
    except UserError as error:
        wrong.append(Problem.of(error))
        return Layer()


def _quick(base: _Base, settings: Settings, request: Request) -> dict[str, Any]:
    """Return what the quick scale changes in the files' values, overrides left out."""
    alone = typed(merged(base.composed.layers), request.surroundings)
    if alone.problems:
        alone = settings
    return quick_settings(Workload.from_settings(base.values(alone), accelerator=base.accelerator))


def _base(request: Request) -> _Base:
    composer = Composer(request.config_dir)
    if request.config is not None:
        if request.model or request.accelerator:
            chosen = " and ".join(filter(None, (request.model, request.accelerator)))
            raise UsageError(
                f"a workload file and {chosen} exclude each other",
                where=str(request.config),
                advice="leave out the file, or the stock workload's model and accelerator",
            )
        return _of_file(request.config, composer)
    model = request.model or DEFAULT_MODEL
    own = composer.find(f"{model}_{request.accelerator}" if request.accelerator else model)
    if own is not None and stock.FOLDER not in own.resolve().parents:
        return _of_file(own, composer)
    name = stock.find(model, request.accelerator)
    path = stock.path_of(name)
    composed = composer.compose(read_config(path, stock.source_of(path)), path)
    return _Base(composed, name, stock.accelerator_in(name))


def _of_file(path: Path, composer: Composer) -> _Base:
    composed = composer.compose(read_config(path), path)
    return _Base(composed, str(path), stock.accelerator_in(path.stem), default_name=path.stem)

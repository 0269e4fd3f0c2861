"""Plugins that take part in a training without taking the place of any part of it.

A plugin is called when the run begins and ends, and before and after each epoch and step. It can
be called from any other training loop, too. docs/guide/plugins.md has an example, and
docs/guide/checkpoints.md one with the loop of another framework.
"""

from __future__ import annotations

import contextlib
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any, Final

from cm4storage.core.errors import StorageBenchmarkError, UserError
from cm4storage.core.records import dataclass, field
from cm4storage.plugins.naming import load_named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import TypeAlias

    from cm4storage.ranks.communicator import Communicator
    from cm4storage.storage.location import StoreLocation
    from cm4storage.workload.model import Workload
    from cm4storage.workload.plugin_choice import PluginChoice

    State: TypeAlias = Mapping[str, Any]
    StateSource: TypeAlias = State | Callable[[], State] | None
    StepHook: TypeAlias = Callable[[int], float]

PLUGINS: Final = "cm4storage.plugins"
"""The group of entry points."""


@dataclass(frozen=True)
class RunContext:
    """What a plugin is told about the run that it is initialized for.

    Attributes
    ----------
    workload : Workload
    ranks : Communicator
    data_root : StoreLocation
        Where data sets are kept.
    run_id : str
        Unlike that of any other run.
    interrupted : threading.Event
        Set before `Plugin.finalize` where the user ends the run: what takes long is given up.
    """

    workload: Workload
    ranks: Communicator
    data_root: StoreLocation
    run_id: str
    interrupted: threading.Event = field(default_factory=threading.Event)


class Plugin:
    """What is called in the course of a training. Subclasses have the methods that they need.

    An object of another class with one or several of these methods is a plugin, too. Epochs and
    steps are counted from 1, steps over all epochs: the first step of the second epoch of ten
    steps is step 11. Evaluations are left out. `state` is what another training loop hands in, a
    mapping of names to arrays or a function that returns one; None from the loader, whose model is
    emulated.
    """

    def initialize(self, context: RunContext | None = None) -> None:
        """Begin; `context` is None where another training loop calls."""

    def before_epoch(self, epoch: int) -> None:
        """Be told that an epoch begins."""

    def before_step(self, step: int) -> None:
        """Be told that a step begins, before its batch is waited for."""

    def after_step(self, step: int, state: StateSource = None) -> None:
        """Be told that a step is complete, on all ranks."""

    def after_epoch(self, epoch: int, state: StateSource = None) -> None:
        """Be told that an epoch is complete."""

    def finalize(self) -> None:
        """End, whether the run was complete or failed."""


HOOKS: Final = (
    "initialize",
    "before_epoch",
    "before_step",
    "after_step",
    "after_epoch",
    "finalize",
)


class Lifecycle:
    """The plugins of one run, in their order.

    Parameters
    ----------
    plugins : mapping
        By the names that errors and the record call them.

    Attributes
    ----------
    spent_s : dict
        By plugin and method, the seconds that were spent in it.
    before_epoch, before_step, after_step, after_epoch : callable or None
        Call a method of all plugins that have it, with the number of an epoch or step, and return
        the seconds that this took; None where no plugin has it.
    """

    def __init__(self, plugins: Mapping[str, Plugin] | None = None) -> None:
        self._plugins = dict(plugins or {})
        self.spent_s: dict[str, dict[str, float]] = {name: {} for name in self._plugins}
        self.before_epoch = self._all("before_epoch")
        self.before_step = self._all("before_step")
        self.after_step = self._all("after_step")
        self.after_epoch = self._all("after_epoch")

    @property
    def is_timed(self) -> bool:
        """Whether anything is called in a step."""
        return self.before_step is not None or self.after_step is not None

    @property
    def names(self) -> list[str]:
        """The names of the plugins."""
        return list(self._plugins)

    def gathered(self, attribute: str) -> list[Any]:
        """Return what plugins have in lists of this name, such as ``checkpoints``.

        What is no list belongs to a plugin that means something else by the name.
        """
        lists = [getattr(plugin, attribute, ()) for plugin in self._plugins.values()]
        return [item for items in lists if isinstance(items, list) for item in items]

    @contextlib.contextmanager
    def running(self, context: RunContext) -> Iterator[None]:
        """Initialize the plugins, and finalize them when the context ends.

        The first error ends the run; all other plugins are finalized all the same, and what goes
        wrong then is left out.

        Raises
        ------
        StorageBenchmarkError
            The error of a plugin, with its name; a UserError where it is of no kind of ours.
        """
        begun: list[str] = []
        try:
            for name in self._plugins:
                self._call(name, "initialize", context)
                begun.append(name)
            yield
        except BaseException as error:
            if _is_interrupt(error):
                context.interrupted.set()
            self._finalize(begun, context)
            raise
        failed = self._finalize(begun, context)
        if failed is not None:
            raise failed

    def _finalize(self, begun: list[str], context: RunContext) -> BaseException | None:
        """Finalize all that have begun; return the first error, an interrupt before any other."""
        failed: BaseException | None = None
        for name in begun:
            try:
                self._call(name, "finalize")
            except BaseException as error:  # noqa: BLE001 - raised when all are finalized
                if _is_interrupt(error):
                    context.interrupted.set()
                    failed = error
                failed = failed or error
        return failed

    def _all(self, hook: str) -> StepHook | None:
        names = [name for name, plugin in self._plugins.items() if _has(plugin, hook)]
        if not names:
            return None

        def call(number: int) -> float:
            return sum(self._call(name, hook, number) for name in names)

        return call

    def _call(self, name: str, hook: str, *args: Any) -> float:
        """Call a method and return the seconds that it took."""
        method = getattr(self._plugins[name], hook, None)
        if method is None:
            return 0.0
        begin = time.perf_counter()
        try:
            method(*args)
        except InterruptedError:
            raise
        except StorageBenchmarkError as error:
            error.what = f"plugin {name}: {error.what}"
            raise
        except Exception as error:
            raise _failed(name, hook, error) from error
        finally:
            spent_s = time.perf_counter() - begin
            table = self.spent_s[name]
            table[hook] = table.get(hook, 0.0) + spent_s
        return spent_s


def _has(plugin: Plugin, hook: str) -> bool:
    """Tell whether a plugin has a method of its own, rather than the one that does nothing."""
    method = getattr(plugin, hook, None)
    inherited: Any = getattr(Plugin, hook)
    return method is not None and getattr(method, "__func__", method) is not inherited


def _is_interrupt(error: BaseException) -> bool:
    return isinstance(error, InterruptedError) or not isinstance(error, Exception)


def _failed(name: str, hook: str, error: Exception) -> UserError:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return UserError(
        f"plugin {name}: {type(error).__name__} in {hook}: {error}",
        where=f"{frame.filename}, line {frame.lineno}, in {frame.name}",
        meaning="the plugin raised this, and the first error of a plugin stops the run",
        advice="mend the plugin, or leave it out",
    )


NO_PLUGINS: Final = Lifecycle()


def by_name(plugins: Iterable[Plugin]) -> dict[str, Plugin]:
    """Return plugins by their attribute ``name``, else by that of their class."""
    table: dict[str, Plugin] = {}
    for plugin in plugins:
        name = own = str(getattr(plugin, "name", type(plugin).__name__))
        count = 1
        while name in table:
            count += 1
            name = f"{own}-{count}"
        table[name] = plugin
    return table


def plugin_of(choice: PluginChoice) -> Plugin:
    """Return the plugin that a workload names, made with its options.

    Raises
    ------
    UserError
        If it cannot be loaded, or refuses the options.
    """
    make = load_named(choice.name, PLUGINS, "plugins")
    assert make is not None  # it has a name
    try:
        plugin: Plugin = make(**dict(choice.options))
    except StorageBenchmarkError:
        raise
    except Exception as error:
        raise UserError(
            f"plugin {choice.name} cannot be made: {error}",
            where=f"plugins, options {dict(choice.options)}",
        ) from error
    return plugin

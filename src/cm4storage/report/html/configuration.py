"""The configuration of a run, beside that of the stock workload."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cm4storage.report.html import wording
from cm4storage.workload import stock
from cm4storage.workload.resolve import Request, resolve

if TYPE_CHECKING:
    from cm4storage.workload.model import Workload


@dataclass(frozen=True)
class Setting:
    """One key of the configuration.

    Attributes
    ----------
    key, value : str
    stock : str or None
        The stock workload's value; None where there is no such workload.
    differs : bool
        From the stock workload; without one, from the file that the workload is from.
    """

    key: str
    value: str
    stock: str | None
    differs: bool


@dataclass(frozen=True)
class Configuration:
    """All keys of a run.

    Attributes
    ----------
    source : str
        The stock workload or the file that the run took.
    stock_name : str
        What it is compared with; empty where there is no stock workload of that name.
    settings : list of Setting
    """

    source: str
    stock_name: str
    settings: list[Setting]

    @property
    def differing(self) -> list[Setting]:
        """The keys that differ."""
        return [each for each in self.settings if each.differs]


def configuration_of(document: dict[str, Any], workload: Workload) -> Configuration:
    """Return the configuration of a run, each key beside its stock value.

    Parameters
    ----------
    document : dict
        The workload as the run's record has it.
    workload : Workload
        The same, read.
    """
    name = _stock_name(str(document["source"]), workload.name)
    base = resolve(Request(name)).workload.settings() if name else None
    overrides = document["overrides"]
    settings = [
        _setting(key, value, base, key in overrides) for key, value in workload.settings().items()
    ]
    return Configuration(str(document["source"]), name, settings)


def _stock_name(source: str, workload_name: str) -> str:
    known = set(stock.names())
    return next((name for name in (source, workload_name) if name in known), "")


def _setting(key: str, value: Any, base: dict[str, Any] | None, is_overridden: bool) -> Setting:
    text = wording.setting(value)
    if base is None:
        return Setting(key, text, None, is_overridden)
    if value == base.get(key):  # a file's 0 may be the 0.0 of a default
        return Setting(key, text, text, differs=False)
    return Setting(key, text, wording.setting(base.get(key)), differs=True)

"""The distributions that DLIO accepts for computation, preprocessing and evaluation times.

Source: ``utils/config.py`` and ``utils/utility.py`` of dlio_benchmark: a number, a mapping with
``mean`` and ``stdev``, or a mapping with a ``type`` and that type's parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from cm4storage.core.records import dataclass

if TYPE_CHECKING:
    import numpy as np

_LONGEST_S = 1e9

_PARAMETERS = {
    "constant": ("value",),
    "normal": ("mean", "stdev"),
    "uniform": ("min", "max"),
    "gamma": ("shape", "scale"),
    "exponential": ("scale",),
    "poisson": ("lam",),
}


@dataclass(frozen=True)
class Distribution:
    """A distribution of durations in seconds; draws are taken as absolute values, as DLIO does.

    Attributes
    ----------
    kind : str
        ``constant``, ``normal``, ``uniform``, ``gamma``, ``exponential`` or ``poisson``.
    parameters : tuple of float
        In the order of DLIO's documentation: ``(mean, stdev)``, ``(min, max)``,
        ``(shape, scale)``, ``(scale,)`` or ``(lam,)``; ``(value,)`` for a constant.
    """

    kind: str = "constant"
    parameters: tuple[float, ...] = (0.0,)

    @classmethod
    def parse(cls, value: object) -> Distribution:
        """Return the distribution that a YAML value describes.

        Raises
        ------
        ValueError
            With a text that says what is allowed.
        """
        if isinstance(value, Mapping):
            return cls._from_mapping(value)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return cls("constant", (_number("the time", value),))
        raise ValueError("expected a number of seconds or a mapping such as {mean: 0.3, stdev: 0}")

    @classmethod
    def _from_mapping(cls, value: Mapping[str, object]) -> Distribution:
        if not value:
            return cls()
        kind = str(value.get("type", "normal"))
        if kind not in _PARAMETERS:
            raise ValueError(f"unknown type {kind!r}; one of {', '.join(sorted(_PARAMETERS))}")
        names = _PARAMETERS[kind]
        unknown = set(value) - set(names) - {"type"}
        if unknown:
            raise ValueError(f"{kind} takes {', '.join(names)}, not {', '.join(sorted(unknown))}")
        numbers = tuple(_number(name, value.get(name, 0.0)) for name in names)
        if kind == "uniform" and numbers[0] > numbers[1]:
            raise ValueError(f"min {numbers[0]:g} is above max {numbers[1]:g}")
        if kind == "normal" and numbers[1] == 0:
            return cls("constant", numbers[:1])
        return cls(kind, numbers)

    def with_stdev(self, stdev: float) -> Distribution:
        """Return this constant widened to a normal distribution, for the ``…_stdev`` keys."""
        if self.kind != "constant" or stdev == 0:
            return self
        return Distribution("normal", (self.parameters[0], stdev))

    def to_plain(self) -> float | dict[str, float | str]:
        """Return the YAML value that `parse` turns into this distribution."""
        if self.kind == "constant":
            return self.parameters[0]
        named = dict(zip(_PARAMETERS[self.kind], self.parameters, strict=True))
        return {"type": self.kind, **named}

    @property
    def is_zero(self) -> bool:
        """Tell whether every draw is 0."""
        return self.kind == "constant" and self.parameters[0] == 0

    @property
    def mean_s(self) -> float:
        """The mean of the distribution before the absolute value is taken."""
        if self.kind == "uniform":
            return sum(self.parameters) / 2
        if self.kind == "gamma":
            return self.parameters[0] * self.parameters[1]
        return self.parameters[0]

    def draw_many(self, seed: int, count: int) -> list[float]:
        """Return `count` durations in seconds: what `draw` gives with a generator of this seed."""
        if self.kind == "constant":  # as it mostly is: numpy's generators are large to import
            return [abs(self.parameters[0])] * count
        import numpy as np

        generator = np.random.default_rng(seed)
        draws: list[float] = abs(getattr(generator, self.kind)(*self.parameters, count)).tolist()
        return draws

    def draw(self, generator: np.random.Generator) -> float:
        """Return one duration in seconds, never negative."""
        if self.kind == "constant":
            return abs(self.parameters[0])
        sample = getattr(generator, self.kind)(*self.parameters)
        return abs(float(sample))


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{name} must be a number, not {value!r}")  # noqa: TRY004 - a value of the user
    if not 0 <= value <= _LONGEST_S:  # also false for NaN
        raise ValueError(f"{name} must be a finite number of at least 0, not {value!r:.40}")
    return float(value)

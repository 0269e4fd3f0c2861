"""Data classes that cost little to define: `dataclass` and its friends.

The standard library writes and compiles the methods of each data class when its module is
imported, 0.4 to 0.9 ms a class. ``cm run script`` imports some thirty, in a process whose whole
overhead is to be a few milliseconds, and a run some sixty before its first step. Here all classes
share ready-made methods. The functions of `dataclasses` take their instances, too. Not supported:
inheritance, ``__post_init__``, slots and ordering; a wrong call is found by mypy, and at run time
only where a field is missing or unknown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_):
        """Say nothing at run time."""
        return lambda function: function


T = TypeVar("T")
C = TypeVar("C", bound=type)
_FIELDS = "__record_fields__"
_STANDARD_FIELDS = "__dataclass_fields__"


class _Declared:
    """Stands in a class for a field's default; `facts` are those of `dataclasses.field`."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self.facts = facts


@overload
def field(*, default_factory: Callable[[], T]) -> T: ...


@overload
def field(*, default: T, metadata: Mapping[str, Any]) -> T: ...


def field(**facts: Any) -> Any:
    """Return a default that is made anew for each instance, or one with what is known of it."""
    return _Declared(facts)


@overload
def dataclass(cls: C) -> C: ...


@overload
def dataclass(*, frozen: bool) -> Callable[[C], C]: ...


@dataclass_transform(field_specifiers=(field,))
def dataclass(cls: C | None = None, *, frozen: bool = False) -> C | Callable[[C], C]:
    """Make a class with annotations a data class."""

    def decorate(cls: C) -> C:
        names = tuple(cls.__annotations__)
        setattr(cls, _FIELDS, names)
        facts = _facts_of_defaults(cls, names)
        setattr(cls, _STANDARD_FIELDS, _StandardFields(facts))
        cls.__init__ = _initializer(cls, names, facts)  # type: ignore[misc]
        cls.__repr__ = _repr  # type: ignore[assignment]
        cls.__eq__ = _is_equal  # type: ignore[assignment]
        cls.__hash__ = _hash if frozen else None  # type: ignore[assignment]
        if frozen:
            cls.__setattr__ = cls.__delattr__ = _refuse  # type: ignore[assignment]
        return cls

    return decorate if cls is None else decorate(cls)


class _StandardFields:
    """What the functions of `dataclasses` look for in a class, made when they do."""

    def __init__(self, facts: Mapping[str, Mapping[str, Any]]) -> None:
        self._facts = facts

    def __get__(self, _instance: object, cls: type) -> Any:
        import dataclasses  # takes as long as the whole engine

        # Without a docstring it would write one, from signatures.
        space: dict[str, Any] = {"__annotations__": cls.__annotations__, "__doc__": cls.__name__}
        space |= {name: dataclasses.field(**facts) for name, facts in self._facts.items()}
        twin: Any = dataclasses.dataclass(init=False, repr=False, eq=False)(type("", (), space))
        setattr(cls, _STANDARD_FIELDS, twin.__dataclass_fields__)
        return twin.__dataclass_fields__


def names_of(record: object) -> tuple[str, ...]:
    """Return the names of the fields of a data class or of its instance."""
    names: tuple[str, ...] = getattr(record, _FIELDS)
    return names


def replace(record: T, **changes: Any) -> T:
    """Return a copy of a data class's instance with other values."""
    return type(record)(**{**asdict(record), **changes})


def asdict(record: object) -> dict[str, Any]:
    """Return the fields of a data class's instance; the values are not copied."""
    values = record.__dict__
    return {name: values[name] for name in names_of(record)}


def _initializer(
    cls: type, names: tuple[str, ...], facts: Mapping[str, Mapping[str, Any]]
) -> Callable[..., None]:
    defaults = {n: each["default"] for n, each in facts.items() if "default" in each}
    factories = {n: facts[n]["default_factory"] for n in facts.keys() - defaults.keys()}
    known = frozenset(names)

    def initialize(self: Any, *args: Any, **given: Any) -> None:
        values = self.__dict__
        if len(args) == len(names) and not given:
            values.update(zip(names, args))  # noqa: B905 - they are as many
            return
        values.update(defaults)
        values.update(zip(names, args))  # noqa: B905 - what is missing has a default
        values.update(given)
        for name, make in factories.items():
            if name not in values:
                values[name] = make()
        if values.keys() != known or len(args) > len(names):
            wrong = sorted(values.keys() ^ known) or args[len(names) :]
            raise TypeError(f"{cls.__name__}: fields missing or unknown: {wrong}")

    return initialize


def _facts_of_defaults(cls: type, names: tuple[str, ...]) -> dict[str, Mapping[str, Any]]:
    """Return what is declared of each default, and leave the defaults alone in the class."""
    facts: dict[str, Mapping[str, Any]] = {}
    for name in names:
        if name in cls.__dict__:
            value = cls.__dict__[name]
            facts[name] = value.facts if isinstance(value, _Declared) else {"default": value}
            if "default" in facts[name]:
                setattr(cls, name, facts[name]["default"])
            else:
                delattr(cls, name)
    return facts


def _repr(self: object) -> str:
    shown = [f"{name}={value!r}" for name, value in asdict(self).items() if _is_shown(value)]
    return f"{type(self).__name__}({', '.join(shown)})"


def _is_shown(value: object) -> bool:
    """Tell whether a value is short; mappings are long, and may hold secrets."""
    return value is None or isinstance(value, (str, int, float, tuple)) or hasattr(value, _FIELDS)


def _is_equal(self: object, other: object) -> bool:
    return type(other) is type(self) and asdict(self) == asdict(other)


def _hash(self: object) -> int:
    return hash(tuple(map(self.__dict__.__getitem__, names_of(self))))


def _refuse(self: object, name: str, *_: object) -> None:
    raise AttributeError(f"{type(self).__name__}.{name} cannot be changed")

"""Frozen values whose methods are the same functions for all classes.

``dataclasses`` compiles six functions for each class: 8 KiB or more that stay for ever, and there are a hundred classes.
Only ``__init__`` is left to it here. ``dataclasses.dataclass`` itself is replaced, so that the modules need not know.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")
_dataclass: Callable[..., Any] = dataclasses.dataclass


def share() -> None:
    """Has ``@dataclass(frozen=True, slots=True)`` share methods in all modules that are imported from now on."""
    dataclasses.dataclass = _sharing


def _sharing(cls: type[Any] | None = None, /, **options: Any) -> Any:  # noqa: ANN401 - as dataclasses.dataclass
    if cls is None:
        return _frozen if options == {"frozen": True, "slots": True} else lambda made: _sharing(made, **options)
    return _dataclass(_documented(cls), **options)


def _documented(cls: type[T]) -> type[T]:
    """``dataclasses`` asks ``inspect`` for the text of one that has none; in Python 3.14 each traceback has such classes."""
    if cls.__doc__ is None:
        cls.__doc__ = cls.__name__
    return cls


def _frozen(cls: type[T]) -> type[T]:
    missing = {name: method for name, method in _METHODS.items() if vars(cls).get(name) is None}
    made: type[T] = _dataclass(_documented(cls), frozen=True, slots=True, eq=False, repr=False)
    for name, method in missing.items():
        setattr(made, name, method)
    if "__weakref__" in vars(made):  # up to Python 3.11 it holds the class that the one with slots was made from
        delattr(made, "__weakref__")
    return made


def _compared(value: Any) -> tuple[object, ...]:  # noqa: ANN401 - any frozen value
    return tuple(getattr(value, field.name) for field in dataclasses.fields(value) if field.compare)


def _equal(self: object, other: object) -> bool:
    return _compared(self) == _compared(other) if other.__class__ is self.__class__ else NotImplemented


def _hash(self: object) -> int:
    return hash(_compared(self))


def _repr(self: Any) -> str:  # noqa: ANN401 - any frozen value
    shown = (f"{field.name}={getattr(self, field.name)!r}" for field in dataclasses.fields(self) if field.repr)
    return f"{self.__class__.__qualname__}({', '.join(shown)})"


def _set(self: object, name: str, value: object) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _delete(self: object, name: str) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


_METHODS: Mapping[str, Callable[..., Any]] = {
    "__eq__": _equal,
    "__hash__": _hash,
    "__repr__": _repr,
    "__setattr__": _set,
    "__delattr__": _delete,
}

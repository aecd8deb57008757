"""Introspection data as values: what each member takes, gives and means, and who may call it. Pure.

The documents, the command line and the tests read the interface with this; the server leaves that to GLib, which has a
parser in the process already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from agent.bus.introspection import ACCESS, AGENT, DOC, ERRORS

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_EMITS = "org.freedesktop.DBus.Property.EmitsChangedSignal"


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a method or signal, or a value that a method returns."""

    name: str
    signature: str
    doc: str


@dataclass(frozen=True, slots=True)
class Property:
    """A property; ``announced`` tells whether changes of it are."""

    name: str
    signature: str
    doc: str
    announced: bool


@dataclass(frozen=True, slots=True)
class Method:
    """A method; ``access`` is ``none`` or the last part of a polkit action, ``errors`` are codes that it may raise."""

    name: str
    doc: str
    access: str
    errors: tuple[str, ...]
    takes: tuple[Argument, ...]
    gives: tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class Signal:
    """A signal."""

    name: str
    doc: str
    carries: tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface by its full name."""

    name: str
    doc: str
    properties: tuple[Property, ...]
    methods: tuple[Method, ...]
    signals: tuple[Signal, ...]

    @property
    def short(self) -> str:
        """The last part of the name."""
        return self.name.rpartition(".")[2]

    def method(self, name: str) -> Method:
        """The method of this name; KeyError when there is none."""
        return {row.name: row for row in self.methods}[name]


@lru_cache(maxsize=4)
def read(path: Path = AGENT) -> tuple[Interface, ...]:
    """The interfaces in a file, in its order."""
    from xml.etree import ElementTree

    root = ElementTree.fromstring(path.read_text())  # noqa: S314 - a file of ours
    return tuple(
        Interface(
            item.get("name", ""),
            _note(item, DOC),
            tuple(_property(each) for each in item.findall("property")),
            tuple(_method(each) for each in item.findall("method")),
            tuple(Signal(each.get("name", ""), _note(each, DOC), _arguments(each)) for each in item.findall("signal")),
        )
        for item in root.findall("interface")
    )


def _property(item: Element) -> Property:
    announced = _note(item, _EMITS) in ("", "true")
    return Property(item.get("name", ""), item.get("type", ""), _note(item, DOC), announced)


def _method(item: Element) -> Method:
    taken, given = _arguments(item, "in"), _arguments(item, "out")
    errors = tuple(_note(item, ERRORS).split())
    return Method(item.get("name", ""), _note(item, DOC), _note(item, ACCESS), errors, taken, given)


def _arguments(item: Element, direction: str | None = None) -> tuple[Argument, ...]:
    found: Sequence[Element] = [each for each in item.findall("arg") if each.get("direction") == direction]
    return tuple(Argument(each.get("name", ""), each.get("type", ""), _note(each, DOC)) for each in found)


def _note(item: Element, name: str) -> str:
    values = [each.get("value", "") for each in item.findall("annotation") if each.get("name") == name]
    return " ".join(" ".join(values).split())

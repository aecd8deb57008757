"""The properties of an object: their values, and which of them have changed since that was last told.

Names are ``Interface.Property``, with the last part of the interface's name; a plain name belongs to the first interface.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gi.repository import Gio, GLib

PROGRESS = "Progress"


class Values:
    """Values by interface and property, each zero at first; not locked.

    Args:
        interfaces: as GLib has read them.
        live: properties that are looked up when they are read.

    Raises:
        ValueError: a property that can be written, or a live one that does not exist.
    """

    def __init__(self, interfaces: Sequence[Any], live: Mapping[str, Callable[[], object]]) -> None:
        self._interfaces = {each.name.rpartition(".")[2]: str(each.name) for each in interfaces}
        self._first = str(interfaces[0].name)
        self._signatures: dict[tuple[str, str], str] = {}
        self._signals: dict[tuple[str, str], str] = {}
        self._values: dict[tuple[str, str], object] = {}
        self._pending: dict[tuple[str, str], object] = {}
        for each in interfaces:
            for row in each.properties:
                if row.flags & Gio.DBusPropertyInfoFlags.WRITABLE:
                    raise ValueError(f"{each.name}.{row.name} can be written: changes are methods, which are checked")
                self._signatures[each.name, row.name] = str(row.signature)
                self._values[each.name, row.name] = zero(row.signature)
            for row in each.signals:
                kinds = "".join(argument.signature for argument in row.args)
                self._signals[each.name, row.name] = f"({kinds})"
        self._live = {self._key(name): look for name, look in live.items()}
        if not self._live.keys() <= self._values.keys():
            raise ValueError(f"no such properties among {', '.join(live)}")

    def get(self, interface: str, name: str) -> object:
        """The value of a property, by the full name of its interface."""
        look = self._live.get((interface, name))
        return self._values[interface, name] if look is None else look()

    def all(self) -> dict[str, dict[str, object]]:
        """Every value, by the last part of the interface's name and the property."""
        return {
            short: {name: self.get(full, name) for key, name in self._values if key == full}
            for short, full in self._interfaces.items()
        }

    @property
    def pending(self) -> bool:
        """Whether a change has yet to be told."""
        return bool(self._pending)

    def set(self, changes: Mapping[str, object]) -> set[str]:
        """Sets properties; returns the names of those that really changed.

        Raises:
            ValueError: no such property, or a value of another shape; nothing was set.
        """
        checked = {self._key(name): (name, self._checked(name, value)) for name, value in changes.items()}
        changed = {key: pair for key, pair in checked.items() if self._values[key] != pair[1]}
        for key, (_, value) in changed.items():
            self._values[key] = self._pending[key] = value
        return {name for name, _ in changed.values()}

    def take(self, *, everything: bool) -> dict[str, dict[str, Any]]:
        """The pending changes by interface, as variants to be announced; without ``everything`` each Progress stays."""
        taken: dict[str, dict[str, Any]] = {}
        for key in [key for key in self._pending if everything or key[1] != PROGRESS]:
            interface, name = key
            taken.setdefault(interface, {})[name] = GLib.Variant(self._signatures[key], self._pending.pop(key))
        return taken

    def signal(self, name: str, values: Sequence[object]) -> tuple[str, str, Any]:
        """A signal's interface, name and arguments; ValueError as in ``set``.

        Where a signal carries values of any type, they are those of the property that its first argument names.
        """
        key = self._key(name)
        if key not in self._signals:
            raise ValueError(f"no signal {name}")
        kinds = self._signals[key][1:-1]
        if "v" in kinds and len(kinds) == len(values):
            kind = self._signatures.get((key[0], str(values[0])), "")
            values = [
                _variant(name, kind, value) if each == "v" else value for each, value in zip(kinds, values, strict=True)
            ]
        return (*key, _variant(name, self._signals[key], tuple(values)))

    def is_signal(self, name: str) -> bool:
        """Whether there is a signal of this name."""
        return self._key(name) in self._signals

    def _key(self, name: str) -> tuple[str, str]:
        interface, _, member = name.rpartition(".")
        return self._interfaces.get(interface, interface) if interface else self._first, member

    def _checked(self, name: str, value: object) -> object:
        signature = self._signatures.get(self._key(name))
        if signature is None:
            raise ValueError(f"no property {name}")
        return _variant(name, signature, value).unpack()


def zero(signature: str) -> object:
    """The empty value of a type: 0, False, an empty text or array; a structure of those."""
    # GLib takes bytes that are no value of a type for its default value (GVariant specification, 2.7.3).
    return GLib.Variant.new_from_bytes(GLib.VariantType.new(signature), GLib.Bytes.new(b""), False).unpack()


def _variant(name: str, signature: str, value: object) -> Any:  # noqa: ANN401 - a GLib.Variant
    try:
        return GLib.Variant(signature, value)
    except (TypeError, OverflowError, ValueError) as error:
        raise ValueError(f"{name} has the signature {signature}: {error}") from error

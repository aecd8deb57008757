"""An object on a connection. The only module that touches pydbus, and where its defects are dealt with.

pydbus 0.6 is what the device's distribution has; it is no longer maintained. What must be done about it:

1. Each incoming call leaks its invocation (2 KB), because ``register_object`` is bound to a function whose closure keeps
   one reference too many. GLib 2.84 has a replacement; before that the reference is dropped here after each call.
2. ``publish`` lets others take over the bus name: ``agent.bus.serve`` requests it, without permission to replace.
3. An exception becomes ``unknown.<class>``, and its traceback goes to the log: no call reaches pydbus that can raise one,
   and pydbus's logger is silent.
4. A call is answered before the function returns: answers are given here, when there is one.
5. Properties and signals are looked up by name without their interface: here with it.
6. Calls to others wait for 24 days and ask for introspection first: ``agent.bus.calls`` makes them.
7. The shared bus connection ends the process when the bus goes: the connection is a private one.
"""

from __future__ import annotations

import ctypes
import logging
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from gi.repository import Gio, GLib
from pydbus.registration import ObjectRegistration, ObjectWrapper

logging.getLogger("pydbus.registration").setLevel(logging.CRITICAL + 1)

MAX_CALL = (
    64 * 1024
)  # bytes of the arguments of a call; the longest legitimate ones are a path and a text of 4096 characters
_PROPERTIES = "org.freedesktop.DBus.Properties"
_TOO_LONG = "org.freedesktop.DBus.Error.LimitsExceeded"
_INVALID = "org.freedesktop.DBus.Error.InvalidArgs"
_FAILED = "org.freedesktop.DBus.Error.Failed"


class Incoming:
    """A method call that waits for its answer, which is given exactly once, from the thread of the main loop.

    Attributes:
        interface: its full name.
        method: its name.
        values: the arguments; a descriptor in place of each ``h``, which is closed with the answer.
        sender: the unique name of the caller.
        interactive: whether the caller agrees that a person is asked for a password.
    """

    def __init__(self, invocation: Any, gives: str) -> None:  # noqa: ANN401 - Gio has no types
        message = invocation.get_message()
        flags = message.get_flags()
        self._invocation = invocation
        self._gives = gives
        self._fds: list[int] = []
        self.interface = str(invocation.get_interface_name())
        self.method = str(invocation.get_method_name())
        self.sender = str(invocation.get_sender())
        self.interactive = bool(flags & Gio.DBusMessageFlags.ALLOW_INTERACTIVE_AUTHORIZATION)
        self.values: tuple[Any, ...] = ()

    def take(self, parameters: Any) -> None:  # noqa: ANN401 - a GLib.Variant
        """Reads the arguments; raises ValueError with a D-Bus error name when they cannot be used."""
        if parameters.get_size() > MAX_CALL:
            raise ValueError(_TOO_LONG)
        handles = self._invocation.get_message().get_unix_fd_list()
        values = list(parameters.unpack())
        for index in range(parameters.n_children()):
            if parameters.get_child_value(index).get_type_string() == "h":
                if handles is None or not 0 <= values[index] < handles.get_length():
                    raise ValueError(_INVALID)
                try:
                    values[index] = handles.get(values[index])
                except GLib.Error as error:  # no descriptor is left
                    raise ValueError(_TOO_LONG) from error
                self._fds.append(values[index])
        self.values = tuple(values)

    def answer(self, values: Sequence[object] = ()) -> None:
        """Answers with the values that the method returns; TypeError when they do not fit, then nothing was answered."""
        result = GLib.Variant(self._gives, tuple(values)) if values or self._gives != "()" else None
        self._end(lambda: self._invocation.return_value(result))

    def refuse(self, name: str, text: str) -> None:
        """Answers with a D-Bus error."""
        self._end(lambda: self._invocation.return_dbus_error(name, text))

    def _end(self, answer: Callable[[], None]) -> None:
        try:
            answer()
        finally:
            while self._fds:
                os.close(self._fds.pop())
            _drop_leaked_reference(self._invocation)
            self._invocation = None


class Exported(NamedTuple):
    """What an object is made of.

    Attributes:
        path: where it is.
        interfaces: as GLib has read them.
        read: the value of a property, by the full name of its interface and its own.
        called: told each method call; it must see to the answer.
    """

    path: str
    interfaces: Sequence[Any]
    read: Callable[[str, str], object]
    called: Callable[[Incoming], None]


class Export:
    """Registers an object; methods belong to the thread of the main loop.

    Args:
        connection: a ``Gio.DBusConnection``.
        exported: the object.
    """

    def __init__(self, connection: Any, exported: Exported) -> None:  # noqa: ANN401 - Gio has no types
        self._wrapper = _Wrapper(exported)
        self._registration = ObjectRegistration(
            _Bus(connection), exported.path, exported.interfaces, self._wrapper, own_wrapper=True
        )

    def emit(self, interface: str, signal: str, arguments: Any) -> None:  # noqa: ANN401 - a GLib.Variant
        """Sends a signal to everybody; raises GLib.Error when the bus is gone."""
        self._wrapper.SignalEmitted(interface, signal, arguments)

    def end(self) -> None:
        """Takes the object off the bus."""
        self._registration.unregister()


class _Wrapper(ObjectWrapper):  # type: ignore[misc]  # pydbus has no types
    """Answers for the properties, and hands everything else over."""

    __slots__ = ("_exported", "_gives")

    def __init__(self, exported: Exported) -> None:
        self._exported = exported
        self._gives: dict[tuple[str, str], str] = {}
        super().__init__(None, [])
        for interface in exported.interfaces:
            for method in interface.methods:
                gives = "".join(argument.signature for argument in method.out_args)
                self._gives[interface.name, method.name] = f"({gives})"
            for row in interface.properties:
                self.readable_properties[f"{interface.name}.{row.name}"] = row.signature

    def call_method(self, *call: Any) -> None:  # noqa: ANN401 - the arguments of Gio's callback
        interface, method, parameters, invocation = call[3:]
        if interface == _PROPERTIES:
            self._answer(method, parameters.unpack(), invocation)
            return
        incoming = Incoming(invocation, self._gives[interface, method])
        try:
            incoming.take(parameters)
        except ValueError as error:
            incoming.refuse(
                str(error), "the arguments of the call cannot be used: too long, or a descriptor is missing"
            )
        else:
            self._exported.called(incoming)

    def _answer(self, method: str, names: Sequence[str], invocation: Any) -> None:  # noqa: ANN401
        """As pydbus does, without the signature of Get: ``inspect`` would stay loaded for that (1 MiB).

        GLib refuses what is not in the introspection data, and Set.
        """
        try:
            value = self.Get(*names) if method == "Get" else self.GetAll(*names)
            invocation.return_value(GLib.Variant("(v)" if method == "Get" else "(a{sv})", (value,)))
        except Exception:  # noqa: BLE001 - whatever it is, the caller must get an answer
            invocation.return_dbus_error(_FAILED, "the property cannot be read")
        finally:
            _drop_leaked_reference(invocation)

    def Get(self, interface_name: str, property_name: str) -> Any:  # noqa: N802, ANN401 - pydbus calls it so
        signature = self.readable_properties[f"{interface_name}.{property_name}"]
        return GLib.Variant(signature, self._exported.read(interface_name, property_name))

    def GetAll(self, interface_name: str) -> dict[str, Any]:  # noqa: N802 - pydbus calls it so
        start = f"{interface_name}."
        names = [
            name.removeprefix(start) for name in self.readable_properties if name.rpartition(".")[0] == interface_name
        ]
        return {name: self.Get(interface_name, name) for name in names}


class _Bus:
    """The part of a pydbus bus that ObjectRegistration uses: ``con`` with three functions, the right one for GLib."""

    def __init__(self, connection: Any) -> None:  # noqa: ANN401 - Gio has no types
        self.con = self
        self.register_object = getattr(connection, "register_object_with_closures2", connection.register_object)
        self.unregister_object = connection.unregister_object
        self.emit_signal = connection.emit_signal


def _leak_fix() -> Callable[[Any], None]:
    version = (GLib.MAJOR_VERSION, GLib.MINOR_VERSION, GLib.MICRO_VERSION)
    # 2.82.3 dropped the reference itself; 2.82.4 took that back. From 2.84 on _Bus uses the function without the leak.
    if hasattr(Gio.DBusConnection, "register_object_with_closures2") or version == (2, 82, 3):
        return lambda _invocation: None
    unref = ctypes.CDLL("libgobject-2.0.so.0").g_object_unref
    unref.argtypes, unref.restype = [ctypes.c_void_p], None
    return lambda invocation: unref(hash(invocation))  # the hash of a GObject wrapper is the object's address


_drop_leaked_reference = _leak_fix()

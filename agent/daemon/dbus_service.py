"""Serves the D-Bus interface. The only module that touches pydbus, and where all its defects are dealt with.

pydbus 0.6 is what the device's distribution has; it is no longer maintained. What must be done about it:

1. Each incoming call leaks its invocation (2 KB), because ``register_object`` is bound to a function whose closure keeps
   one reference too many. GLib 2.84 has a replacement; before that the reference is dropped here after each call.
2. ``publish`` lets others take over the bus name: the name is requested here, without permission to replace.
3. An exception becomes ``unknown.<class>``, and its traceback goes to the log: only exceptions whose class has the
   complete error name leave our methods, and pydbus's logger is silent.
4. Calls are answered on the main loop: every command returns at once.
5. Calls to others wait for 24 days and ask for introspection first: they go through ``call_sync`` with a timeout.
6. The shared bus connection ends the process when the bus goes: a private connection does not, and reports it.
"""

from __future__ import annotations

import ctypes
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Protocol

import pydbus
from gi.repository import Gio, GLib
from pydbus.generic import signal
from pydbus.registration import ObjectRegistration, ObjectWrapper

from agent.daemon.dbus_names import (
    BUS_NAME,
    MANAGER,
    MAX_TEXT,
    OBJECT_PATH,
    PROPERTIES,
    SIGNATURES,
    error_message,
    error_name,
    introspection,
)
from agent.errors import EnvironmentFault, PolicyError, explain

log = logging.getLogger("agent.dbus")
logging.getLogger("pydbus.registration").setLevel(logging.CRITICAL + 1)

PROGRESS_INTERVAL = 0.5  # seconds between two announcements of Progress
_DENIED_INTERVAL = 60  # seconds between two warnings about refused callers
_BUS_TIMEOUT = 2000  # milliseconds; the bus daemon itself answers in microseconds
_DO_NOT_QUEUE, _PRIMARY_OWNER = 4, 1  # D-Bus specification, RequestName


class Commands(Protocol):
    """What people can ask of the daemon. Each returns at once, or raises OtaError to refuse."""

    def check(self) -> None:
        """Asks the server now."""
        ...

    def install(self, path: str) -> None:
        """Installs the bundle at an absolute path."""
        ...

    def cancel(self) -> None:
        """Gives up the update under way."""
        ...

    def scrub(self, slot: str) -> None:
        """Reads slots back; empty: all that do not run."""
        ...

    def approve(self, action_id: str) -> None:
        """Lets an action begin that waits for consent; empty: whichever it is."""
        ...

    def deny(self, action_id: str, reason: str) -> None:
        """Does not let it begin."""
        ...


class BusService:
    """The daemon's object on the bus.

    ``publish`` and ``finished`` may be called from any thread; the rest belongs to the thread of the main loop.

    Args:
        bus: ``system``, ``session``, or the address of a bus.
        commands: who carries out what is asked.
        initial: properties that differ from their initial value.
        on_lost: called in the main loop when the bus is gone; there is no way back but a new process.
    """

    def __init__(
        self,
        bus: str,
        commands: Commands,
        initial: Mapping[str, object] | None = None,
        on_lost: Callable[[], None] | None = None,
    ) -> None:
        self._address = bus
        self._on_lost = on_lost
        self._lock = threading.Lock()
        self._values: dict[str, object] = {row.name: row.initial for row in PROPERTIES}
        self._pending: dict[str, object] = {}
        self._scheduled = False
        self._timer = 0
        self._progress_at = float("-inf")
        self._manager = _Manager(commands, self._values, self._caller)
        self._connection: Any = None
        self._registration: Any = None
        for name, value in (initial or {}).items():
            self._values[name] = _checked(name, value)

    def start(self) -> None:
        """Connects, registers the object, then takes the name.

        Raises:
            EnvironmentFault: ``dbus.unreachable``, ``dbus.name-taken`` (another daemon runs, or the policy forbids it).
        """
        try:
            bus = pydbus.connect(_address_of(self._address))
        except GLib.Error as error:
            raise EnvironmentFault(
                "dbus.unreachable", f"the {self._address} bus cannot be reached", details=error.message
            ) from error
        self._connection = bus.con
        bus.con.set_exit_on_close(False)
        bus.con.connect("closed", self._closed)
        info = Gio.DBusNodeInfo.new_for_xml(introspection())
        wrapper = _Wrapper(self._manager, info.interfaces)
        self._registration = ObjectRegistration(_Bus(bus.con), OBJECT_PATH, info.interfaces, wrapper, own_wrapper=True)
        self._take_name()

    def stop(self) -> None:
        """Leaves the bus; safe to call at any time, also when the bus is already gone."""
        connection, self._connection = self._connection, None
        registration, self._registration = self._registration, None
        if self._timer:
            GLib.source_remove(self._timer)
            self._timer = 0
        if registration is not None:
            registration.unregister()
        if connection is not None and not connection.is_closed():
            try:
                connection.flush_sync(None)
                connection.close_sync(None)
            except GLib.Error as error:
                log.debug("closing the bus: %s", error.message)

    def publish(self, changes: Mapping[str, object]) -> None:
        """Sets properties; what really changed is announced, ``Progress`` at most twice a second.

        Args:
            changes: property name to value, in the shape of the property's initial value.

        Raises:
            ValueError: no such property, or a value of another shape.
        """
        checked = {name: _checked(name, value) for name, value in changes.items()}
        with self._lock:
            changed = {name: value for name, value in checked.items() if self._values[name] != value}
            self._values.update(changed)
            self._pending.update(changed)
            if not changed or self._scheduled or (self._timer and changed.keys() == {"Progress"}):
                return  # what is scheduled already will take it along
            self._scheduled = True
        GLib.idle_add(self._flush)

    def finished(self, outcome: str, version: str, code: str) -> None:
        """Announces how an update ended."""
        GLib.idle_add(self._finished, outcome[:MAX_TEXT], version[:MAX_TEXT], code[:MAX_TEXT])

    def _take_name(self) -> None:
        try:
            answer = self._call_bus("RequestName", GLib.Variant("(su)", (BUS_NAME, _DO_NOT_QUEUE)))
        except GLib.Error as error:
            self.stop()
            raise EnvironmentFault("dbus.name-taken", f"the bus refuses {BUS_NAME}", details=error.message) from error
        if answer != _PRIMARY_OWNER:
            self.stop()
            raise EnvironmentFault(
                "dbus.name-taken",
                f"{BUS_NAME} is already owned on the bus",
                resolution="stop the other ota-agent daemon first",
            )

    def _call_bus(self, method: str, arguments: Any) -> Any:  # noqa: ANN401 - whatever the bus daemon answers
        answer = self._connection.call_sync(
            "org.freedesktop.DBus",
            "/org/freedesktop/DBus",
            "org.freedesktop.DBus",
            method,
            arguments,
            None,
            Gio.DBusCallFlags.NONE,
            _BUS_TIMEOUT,
            None,
        )
        return answer.unpack()[0]

    def _caller(self, sender: str) -> int | None:
        """The user of a caller; None when that cannot be known, for example because it has already left."""
        try:
            return int(self._call_bus("GetConnectionUnixUser", GLib.Variant("(s)", (sender,))))
        except (GLib.Error, AttributeError) as error:  # AttributeError: stopped meanwhile
            log.debug("unknown caller %s: %s", sender, error)
            return None

    def _flush(self) -> bool:
        """Announces what is pending (main loop); keeps Progress back until its time has come."""
        now = time.monotonic()
        wait = self._progress_at + PROGRESS_INTERVAL - now
        with self._lock:
            self._scheduled = False
            changes, self._pending = self._pending, {}
            if wait > 0 and "Progress" in changes:
                self._pending["Progress"] = changes.pop("Progress")
        if "Progress" in changes:
            self._progress_at = now
        elif self._pending and not self._timer:
            self._timer = GLib.timeout_add(int(wait * 1000) + 1, self._flush_late)
        if changes:
            self._emit(lambda: self._manager.PropertiesChanged(MANAGER, changes, []))
        return bool(GLib.SOURCE_REMOVE)

    def _flush_late(self) -> bool:
        self._timer = 0
        return self._flush()

    def _finished(self, outcome: str, version: str, code: str) -> bool:
        self._flush()  # who hears the signal and then reads the properties must find the new ones
        self._emit(lambda: self._manager.Finished(outcome, version, code))
        return bool(GLib.SOURCE_REMOVE)

    def _emit(self, emit: Callable[[], None]) -> None:
        if self._connection is None or self._connection.is_closed():
            return
        try:
            emit()
        except GLib.Error as error:
            log.warning("a signal could not be sent: %s", error.message)

    def _closed(self, _connection: object, _by_peer: bool, error: Any) -> None:  # noqa: ANN401 - GLib.Error or None
        if self._connection is None:
            return  # we left by ourselves
        log.error("the bus is gone: %s", error.message if error is not None else "closed")
        if self._on_lost is not None:
            self._on_lost()


class _Manager:
    """The object that pydbus sees: properties by ``__getattr__``, methods with D-Bus names."""

    PropertiesChanged = signal()
    Finished = signal()

    def __init__(self, commands: Commands, values: Mapping[str, object], caller: Callable[[str], int | None]) -> None:
        self._commands = commands
        self._values = values
        self._caller = caller
        self._denied_at = float("-inf")

    def __getattr__(self, name: str) -> object:
        if name not in SIGNATURES:
            raise AttributeError(name)
        return self._values[name]

    def Check(self, dbus_context: Any) -> None:  # noqa: N802, ANN401 - the D-Bus name; pydbus has no types
        self._carry_out(dbus_context, self._commands.check)

    def Install(self, path: str, dbus_context: Any) -> None:  # noqa: N802, ANN401 - the D-Bus name; pydbus has no types
        self._carry_out(dbus_context, lambda: self._commands.install(_absolute(path)))

    def Cancel(self, dbus_context: Any) -> None:  # noqa: N802, ANN401 - the D-Bus name; pydbus has no types
        self._carry_out(dbus_context, self._commands.cancel)

    def Scrub(self, slot: str, dbus_context: Any) -> None:  # noqa: N802, ANN401 - the D-Bus name; pydbus has no types
        self._carry_out(dbus_context, lambda: self._commands.scrub(slot))

    def Approve(self, action: str, dbus_context: Any) -> None:  # noqa: N802, ANN401 - the D-Bus name; pydbus has no types
        self._carry_out(dbus_context, lambda: self._commands.approve(action))

    def Deny(self, action: str, reason: str, dbus_context: Any) -> None:  # noqa: N802, ANN401 - as above
        self._carry_out(dbus_context, lambda: self._commands.deny(action, reason[:MAX_TEXT]))

    def _carry_out(self, context: Any, command: Callable[[], None]) -> None:  # noqa: ANN401 - pydbus has no types
        try:
            self._allow(self._caller(context.sender))
            command()
        except Exception as error:
            parts = explain(error)
            if parts["code"] == "internal.unexpected":
                log.exception("a D-Bus call failed")
                parts["details"] = ""  # it would tell others about our inner life
            raise _dbus_error(error_name(str(parts["code"])), error_message(parts)) from None

    def _allow(self, user: int | None) -> None:
        if user is not None and user in (0, os.getuid()):
            return
        if time.monotonic() >= self._denied_at + _DENIED_INTERVAL:  # whoever is refused cannot flood the journal
            self._denied_at = time.monotonic()
            log.warning("user %s may not change anything and was refused", user, extra={"OTA_EVENT": "access-denied"})
        raise PolicyError(
            "access.denied", "only root may change anything", resolution="repeat it as root, for example with sudo"
        )


class _Wrapper(ObjectWrapper):  # type: ignore[misc]  # pydbus has no types
    """Calls the object for pydbus, then drops the reference that old GLib bindings leave behind (defect 1)."""

    __slots__ = ()

    def call_method(self, *call: Any) -> None:  # noqa: ANN401 - the arguments of Gio's callback
        try:
            super().call_method(*call)
        finally:
            _drop_leaked_reference(call[-1])


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


@lru_cache(maxsize=256)
def _error_class(name: str) -> type[Exception]:
    return type(name, (Exception,), {})


def _dbus_error(name: str, message: str) -> Exception:
    """An exception that pydbus sends with exactly this error name, because the name of its class has dots."""
    return _error_class(name)(message)


def _address_of(bus: str) -> str:
    kinds = {"system": Gio.BusType.SYSTEM, "session": Gio.BusType.SESSION}
    return str(Gio.dbus_address_get_for_bus_sync(kinds[bus], None)) if bus in kinds else bus


def _checked(name: str, value: object) -> object:
    signature = SIGNATURES.get(name)
    if signature is None:
        raise ValueError(f"no property {name}")
    try:
        return GLib.Variant(signature, value).unpack()
    except (TypeError, OverflowError) as error:
        raise ValueError(f"{name} has the signature {signature}: {error}") from error


def _absolute(path: str) -> str:
    if not path.startswith("/") or len(path) > MAX_TEXT:
        raise PolicyError("install.path", "the path of the bundle must be absolute", details=path[:200])
    return path

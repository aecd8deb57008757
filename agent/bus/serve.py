"""Serves an object on a message bus as its introspection data says: calls are checked, passed on and answered.

Nothing here waits, except for the bus itself when it starts: who may call is found out by asynchronous calls, and what
takes time is done by a thread of its own, while the main loop goes on to serve.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from gi.repository import Gio, GLib

from agent.bus.access import Caller, Guard, Question
from agent.bus.calls import BusCallError, connect
from agent.bus.export import Export, Exported, Incoming
from agent.bus.introspection import ACCESS, FREE, without_prose
from agent.bus.sieve import Filter
from agent.bus.values import Values
from agent.errors import EnvironmentFault

log = logging.getLogger("agent.dbus")

PROGRESS_INTERVAL = 0.5  # seconds between two announcements of a property called Progress
_UNDECIDED = 16  # calls of one sender of which it is not known yet whether it may make them
_ALL_UNDECIDED = 512
# Answers that take time and are worked out at once: so many of callers who were asked about, and as many of all others.
_THREADS = 4
_BUS_TIMEOUT = 2000  # milliseconds; the bus daemon itself answers in microseconds
_DO_NOT_QUEUE, _PRIMARY_OWNER = 4, 1  # D-Bus specification, RequestName


class Call(NamedTuple):
    """A call that the caller may make.

    Attributes:
        interface: the last part of its name.
        method: its name.
        values: the arguments. A descriptor stands in place of each ``h``; it is closed when the call has been answered.
        sender: the unique bus name of the caller.
        user: its user id; None for a method that everybody may call.
    """

    interface: str
    method: str
    values: tuple[Any, ...]
    sender: str
    user: int | None = None


class Later(NamedTuple):
    """An answer that takes time: ``work`` runs in a thread of its own, and what it returns or raises is the answer."""

    work: Callable[[], tuple[object, ...]]


Answer = tuple[object, ...] | Later | None


class Handler(Protocol):
    """Who carries out what is asked, in the thread of the main loop."""

    def call(self, call: Call) -> Answer:
        """Carries out a call at once, or says how later; None answers without a value. What it raises is the answer, too."""
        ...

    def error(self, error: Exception) -> tuple[str, str]:
        """The D-Bus name and the text of an error."""
        ...


class Served(NamedTuple):
    """What is served.

    Attributes:
        name: the bus name.
        path: of the object.
        xml: its introspection data; the annotation ``org.otaagent.Access`` of each method says who may call it.
        initial: properties that differ from zero, by name; see ``Server.publish``.
        live: properties that are looked up when somebody reads them, by name; they are never published.
    """

    name: str
    path: str
    xml: str
    initial: Mapping[str, object]
    live: Mapping[str, Callable[[], object]] = MappingProxyType({})


class Server:
    """An object on the bus, with a bus name.

    ``publish`` and ``emit`` may be called from any thread; the rest belongs to the thread of the main loop.

    Attributes:
        last_call: when somebody called or read something, in seconds since the boot; 0: nobody has.

    Args:
        bus: ``system``, ``session``, or the address of a bus.
        served: what is served.
        handler: carries out the calls.
        access: decides who may call what.
        on_lost: called in the main loop when the bus is gone; there is no way back but a new process.

    Raises:
        ValueError: a method without a word on who may call it, or an initial value that does not fit.
    """

    def __init__(
        self, bus: str, served: Served, handler: Handler, access: Guard, on_lost: Callable[[], None] | None = None
    ) -> None:
        self._bus = bus
        self._served = served
        self._handler = handler
        self._access = access
        self._on_lost = on_lost
        self._interfaces = list(Gio.DBusNodeInfo.new_for_xml(without_prose(served.xml)).interfaces)
        self._actions = {(each.name, row.name): _action(each, row) for each in self._interfaces for row in each.methods}
        self._values = Values(self._interfaces, served.live)
        self._values.set(served.initial)
        self._values.take(everything=True)
        self._lock = threading.Lock()
        self._scheduled = False
        self._timer = 0
        self._progress_at = float("-inf")
        self._working: Counter[bool] = Counter()  # by whether the caller was asked about
        self._asking: Counter[str] = Counter()
        self._leaving = False
        self.last_call = 0.0
        self._connection: Any = None
        self._export: Export | None = None

    def start(self) -> None:
        """Connects, registers the object, then takes the name.

        Raises:
            EnvironmentFault: ``dbus.unreachable``, ``dbus.name-taken`` (another process has it, or the policy forbids it).
        """
        try:
            self._connection = connect(self._bus)
        except (GLib.Error, BusCallError) as error:
            raise EnvironmentFault(
                "dbus.unreachable", f"the {self._bus} bus cannot be reached", details=error.message
            ) from error
        self._connection.connect("closed", self._closed)
        self._filter = Filter(self._connection)
        exported = Exported(self._served.path, self._interfaces, self._read, self._called)
        self._export = Export(self._connection, exported)
        self._take_name()

    def stop(self) -> None:
        """Leaves the bus; safe to call at any time, also when the bus is already gone."""
        connection, self._connection = self._connection, None
        export, self._export = self._export, None
        if self._timer:
            GLib.source_remove(self._timer)
            self._timer = 0
        if export is not None:
            export.end()
        if connection is not None and not connection.is_closed():
            with contextlib.suppress(GLib.Error):  # the bus goes at the same time
                connection.flush_sync(None)
                connection.close_sync(None)

    def publish(self, changes: Mapping[str, object]) -> None:
        """Sets properties; what really changed is announced, ``Progress`` at most twice a second.

        Args:
            changes: name to value. ``Update.Version`` is a property of that interface, ``State`` one of the first.

        Raises:
            ValueError: no such property, or a value of another shape; nothing was set.
        """
        with self._lock:
            changed = self._values.set(changes)
            if not changed or self._scheduled or (self._timer and changed == {"Progress"}):
                return  # what is scheduled already will take it along
            self._scheduled = True
        GLib.idle_add(self._flush)

    def emit(self, signal: str, *values: object) -> None:
        """Sends a signal, named like the properties; who hears it finds what was published before.

        Raises:
            ValueError: no such signal, or values of another shape.
        """
        interface, name, arguments = self._values.signal(signal, values)
        GLib.idle_add(self._emit_after_properties, interface, name, arguments)

    def at_once(self, name: str, *values: object) -> None:
        """Sends a signal, or sets one property and announces it, before anything else; only from the main loop.

        Each is a message of its own, for interfaces whose clients look at one property of a message only. How often
        ``Progress`` is announced is up to the caller.

        Raises:
            ValueError: as ``publish`` and ``emit``.
        """
        if self._values.is_signal(name):
            self._emit(*self._values.signal(name, values))
            return
        with self._lock:
            self._values.set({name: values[0]})
            changes = self._values.take(everything=True)
        self._announce(changes)

    def properties(self) -> dict[str, dict[str, object]]:
        """All properties, by interface and name; from any thread."""
        with self._lock:
            return self._values.all()

    def is_signal(self, name: str) -> bool:
        """Whether a name, as in ``emit``, is one of a signal."""
        return self._values.is_signal(name)

    def _take_name(self) -> None:
        try:
            answer = self._connection.call_sync(
                "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "RequestName",
                GLib.Variant("(su)", (self._served.name, _DO_NOT_QUEUE)), None, Gio.DBusCallFlags.NONE, _BUS_TIMEOUT, None,
            ).unpack()[0]  # fmt: skip
        except GLib.Error as error:
            self.stop()
            raise EnvironmentFault(
                "dbus.name-taken", f"the bus refuses {self._served.name}", details=error.message
            ) from error
        if answer != _PRIMARY_OWNER:
            self.stop()
            raise EnvironmentFault(
                "dbus.name-taken",
                f"{self._served.name} is already owned on the bus",
                resolution="stop the other process that owns it first",
            )

    def leave(self) -> None:
        """Gives the bus name back: who calls it from now on starts another process.

        What has come already is answered still, and what would change something is refused.
        """
        self._leaving = True
        with contextlib.suppress(GLib.Error):  # the bus goes at the same time
            self._connection.call_sync(
                "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "ReleaseName",
                GLib.Variant("(s)", (self._served.name,)), None, Gio.DBusCallFlags.NONE, _BUS_TIMEOUT, None,
            )  # fmt: skip

    def _read(self, interface: str, name: str) -> object:
        self.last_call = time.clock_gettime(time.CLOCK_BOOTTIME)
        return self._values.get(interface, name)

    def _called(self, incoming: Incoming) -> None:
        self.last_call = time.clock_gettime(time.CLOCK_BOOTTIME)
        action = self._actions[incoming.interface, incoming.method]
        if action == FREE:
            self._carry_out(incoming)
            return
        method = f"{incoming.interface.rpartition('.')[2]}.{incoming.method}"
        question = Question(incoming.sender, action, method, incoming.interactive)
        if self._asking[incoming.sender] >= _UNDECIDED or self._asking.total() >= _ALL_UNDECIDED:
            self._refuse(incoming, _busy())
            return
        self._asking[incoming.sender] += 1
        self._access.ask(self._connection, question, partial(self._decided, incoming))

    def _decided(self, incoming: Incoming, decision: Caller | Exception) -> None:
        self._asking -= Counter([incoming.sender])
        if isinstance(decision, Caller):
            self._carry_out(incoming, decision.user)
        else:
            self._refuse(incoming, decision)

    def _carry_out(self, incoming: Incoming, user: int | None = None) -> None:
        interface = incoming.interface.rpartition(".")[2]
        try:
            if self._leaving and user is not None:
                raise EnvironmentFault(
                    "daemon.leaving", "the service is just leaving, because it had nothing to do",
                    resolution="call again: that starts it",
                )  # fmt: skip
            answer = self._handler.call(Call(interface, incoming.method, incoming.values, incoming.sender, user))
            if isinstance(answer, Later):
                self._begin(incoming, answer, user is not None)
            else:
                incoming.answer(answer or ())
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller must get an answer
            self._refuse(incoming, error)

    def _begin(self, incoming: Incoming, later: Later, asked: bool) -> None:
        if self._working[asked] >= _THREADS:
            raise _busy()
        self._working[asked] += 1

        def work() -> None:
            values: tuple[object, ...] = ()
            failure: Exception | None = None
            try:
                values = later.work()
            except Exception as error:  # noqa: BLE001 - as above
                failure = error
            GLib.idle_add(self._worked, incoming, asked, values, failure)

        threading.Thread(target=work, name="dbus-answer", daemon=True).start()

    def _worked(self, incoming: Incoming, asked: bool, values: tuple[object, ...], failure: Exception | None) -> bool:
        self._working[asked] -= 1
        try:
            if failure is not None:
                raise failure
            incoming.answer(values)
        except Exception as error:  # noqa: BLE001 - as above
            self._refuse(incoming, error)
        return bool(GLib.SOURCE_REMOVE)

    def _refuse(self, incoming: Incoming, error: Exception) -> None:
        incoming.refuse(*self._handler.error(error))

    def _flush(self) -> bool:
        """Announces what is pending (main loop); keeps Progress back until its time has come."""
        now = time.monotonic()
        wait = self._progress_at + PROGRESS_INTERVAL - now
        with self._lock:
            self._scheduled = False
            changes = self._values.take(everything=wait <= 0)
            left = self._values.pending
        if any("Progress" in values for values in changes.values()):
            self._progress_at = now
        elif left and not self._timer:
            self._timer = GLib.timeout_add(int(wait * 1000) + 1, self._flush_late)
        self._announce(changes)
        return bool(GLib.SOURCE_REMOVE)

    def _announce(self, changes: Mapping[str, Mapping[str, Any]]) -> None:
        for interface, values in changes.items():
            arguments = GLib.Variant("(sa{sv}as)", (interface, values, []))
            self._emit("org.freedesktop.DBus.Properties", "PropertiesChanged", arguments)

    def _flush_late(self) -> bool:
        self._timer = 0
        return self._flush()

    def _emit_after_properties(self, interface: str, name: str, arguments: Any) -> bool:  # noqa: ANN401 - a GLib.Variant
        self._flush()
        self._emit(interface, name, arguments)
        return bool(GLib.SOURCE_REMOVE)

    def _emit(self, interface: str, name: str, arguments: Any) -> None:  # noqa: ANN401 - a GLib.Variant
        if self._export is None or self._connection.is_closed():
            return
        try:
            self._export.emit(interface, name, arguments)
        except GLib.Error as error:
            log.warning("a signal could not be sent: %s", error.message)

    def _closed(self, _connection: object, _by_peer: bool, error: Any) -> None:  # noqa: ANN401 - GLib.Error or None
        if self._connection is None:
            return  # we left by ourselves
        log.error("the bus is gone: %s", error.message if error is not None else "closed")
        if self._on_lost is not None:
            self._on_lost()


def _busy() -> EnvironmentFault:
    return EnvironmentFault("access.busy", "too many requests are under way", resolution="try it again in a moment")


def _action(interface: Any, method: Any) -> str:  # noqa: ANN401 - Gio has no types
    action = next((str(each.value) for each in method.annotations or () if each.key == ACCESS), "")
    if not action:
        raise ValueError(f"{interface.name}.{method.name} does not say who may call it")
    return action

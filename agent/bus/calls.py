"""Calls to other services on the message bus: a private connection, opened when it is first needed.

GLib's shared connection ends the process when the bus goes (GDBusConnection:exit-on-close); a private one does not. A proxy
would ask for introspection first and wait for 24 days; a plain call with a timeout does neither.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from typing import Any

UNREACHABLE = "unreachable"
TIMEOUT = "timeout"
_PROPERTIES = "org.freedesktop.DBus.Properties"


class BusCallError(Exception):
    """A call that brought no answer.

    Attributes:
        name: the D-Bus name of the error that the other side sent; ``timeout``; or ``unreachable`` when there is no bus.
        message: the text that came with it.
    """

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"{name}: {message}")
        self.name = name
        self.message = message


class Bus:
    """A connection of our own to a message bus; safe from any thread. It is opened again after the bus was restarted.

    Args:
        address: ``system``, ``session``, the address of a bus, or ``none``: then every call is refused as ``unreachable``.
    """

    def __init__(self, address: str = "system") -> None:
        self._address = address
        self._lock = threading.Lock()
        self._connection: Any = None

    def call(
        self,
        service: str,
        path: str,
        interface: str,
        method: str,
        signature: str = "",
        *values: object,
        timeout: float = 5.0,
        fds: Sequence[int] = (),
    ) -> tuple[Any, ...]:
        """Calls a method and waits for its answer; a service that can be activated is started for it.

        Args:
            service: the bus name that is called.
            path: of the object.
            interface: of the method.
            method: its name.
            signature: of the arguments together, such as ``sa{sv}``.
            values: the arguments; for ``h`` an index into ``fds``.
            timeout: in seconds, for opening the connection and the call together.
            fds: descriptors that go along; they stay the caller's.

        Returns:
            The values of the answer; when descriptors came along, a list of them is one more. They are the caller's to close.

        Raises:
            BusCallError: see there.
        """
        from gi.repository import Gio, GLib

        end = time.monotonic() + timeout
        connection = self._open(timeout)
        arguments = GLib.Variant(f"({signature})", values) if signature else None
        handles = Gio.UnixFDList.new()
        for fd in fds:
            handles.append(fd)
        try:
            answer, received = connection.call_with_unix_fd_list_sync(
                service, path, interface, method, arguments, None, Gio.DBusCallFlags.NONE,
                max(1, int((end - time.monotonic()) * 1000)), handles, None,
            )  # fmt: skip
        except GLib.Error as error:
            raise _explained(error) from error
        finally:
            del handles  # the traceback of an error would keep the copies of the descriptors open
        taken = received.steal_fds() if received is not None else []
        return (*answer.unpack(), taken) if taken else tuple(answer.unpack())

    def get(self, service: str, path: str, interface: str, name: str, *, timeout: float = 5.0) -> Any:  # noqa: ANN401 - any D-Bus value
        """The value of a property; raises as ``call`` does."""
        return self.call(service, path, _PROPERTIES, "Get", "ss", interface, name, timeout=timeout)[0]

    def close(self) -> None:
        """Leaves the bus; the next call opens it again."""
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            from gi.repository import GLib

            with contextlib.suppress(GLib.Error):  # it was closed by the bus already
                connection.close_sync(None)

    def _open(self, timeout: float) -> Any:  # noqa: ANN401 - Gio has no types
        from gi.repository import Gio, GLib

        with self._lock:
            if self._connection is not None and not self._connection.is_closed():
                return self._connection
            self._connection = None
            cancellable = Gio.Cancellable()
            timer = threading.Timer(timeout, cancellable.cancel)  # Gio has no timeout for a bus that does not answer
            timer.daemon = True
            timer.start()
            try:
                self._connection = connect(self._address, cancellable)
            except GLib.Error as error:
                raise _explained(error) from error
            finally:
                timer.cancel()
            return self._connection


def connect(address: str, cancellable: object = None) -> Any:  # noqa: ANN401 - Gio has no types
    """A private connection to a bus.

    Args:
        address: ``system``, ``session``, or the address of a bus.
        cancellable: a ``Gio.Cancellable`` that gives up.

    Raises:
        BusCallError: ``unreachable``: no bus is wanted.
        GLib.Error: it cannot be reached.
    """
    from gi.repository import Gio

    if address == "none":
        raise BusCallError(UNREACHABLE, "there is no message bus, by the configuration")
    kinds = {"system": Gio.BusType.SYSTEM, "session": Gio.BusType.SESSION}
    if address in kinds:
        address = Gio.dbus_address_get_for_bus_sync(kinds[address], cancellable)
    flags = Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION
    return Gio.DBusConnection.new_for_address_sync(address, flags, None, cancellable)


def _explained(error: Any) -> BusCallError:  # noqa: ANN401 - a GLib.Error
    from gi.repository import Gio

    name = Gio.DBusError.get_remote_error(error)
    if name:
        return BusCallError(name, str(error.message).removeprefix(f"GDBus.Error:{name}: "))
    late = (Gio.IOErrorEnum.TIMED_OUT, Gio.IOErrorEnum.CANCELLED)
    given_up = any(error.matches(Gio.io_error_quark(), code) for code in late)
    return BusCallError(TIMEOUT if given_up else UNREACHABLE, str(error.message))

"""Serves RAUC's interface by asking the agent; it holds nothing but a copy of what the agent says.

What is asked for is passed on only when ``agent.bus.access`` lets the caller do the same to the agent itself.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from gi.repository import GLib

import agent
from agent.bus.calls import Bus, BusCallError
from agent.bus.serve import Answer, Call, Later
from agent.daemon.dbus_names import BUS_NAME, MANAGER, OBJECT_PATH, parse_error_message
from agent.errors import EnvironmentFault, OtaError, PolicyError, explain, from_explained
from agent.rauc.installation import Announcement, Installation, one_line
from agent.rauc.manifest import as_variants, inspection, names
from agent.rauc.marking import done, slot_meant
from agent.rauc.names import BUSY, DENIED, REFUSED
from agent.rauc.options import Wishes, require_file, wishes
from agent.rauc.slot_status import Slots, slot_status

_log = logging.getLogger("agent.dbus")
_PATIENCE = 25.0  # seconds; the agent may have to be started for it
_INSPECTION = 60.0  # seconds; a plain bundle is read as a whole
_COMEBACK = 90  # seconds that a client waits for an agent that has ended in the middle
# These have RAUC's own words, which are all that its clients show.
_WORDS = ("rauc.option-unknown", "rauc.slot-unknown", "rauc.mark-unknown")
Announce = Callable[[str, object], None]


class Facade:
    """Carries out the calls of RAUC's interface.

    Args:
        calls: for asking the agent, from any thread.
        config: configuration files for the inspector; none for the standard places.
    """

    def __init__(self, calls: Bus, config: Sequence[Path] = ()) -> None:
        self._calls = calls
        self._config = config
        self._values: Mapping[str, object] = {}
        self._installation = Installation({})
        self._announce: Announce = lambda _name, _value: None
        self._timer = 0
        self._inspecting = threading.Lock()

    def begin(self, announce: Announce) -> None:
        """Tells all that changes from here on; a name without a property is the signal ``Completed``."""
        self._announce = announce

    def properties(self) -> dict[str, object]:
        """RAUC's properties as they are now."""
        facts = {
            "Compatible": "Compatible",
            "Variant": "Variant",
            "SystemVersion": "CurrentVersion",
            "BootSlot": "Slot",
        }
        return {
            **{name: str(self._values.get(ours, "")) for name, ours in facts.items()},
            **self._installation.properties(),
        }

    def heard(self, values: Mapping[str, object], names: Sequence[str]) -> None:
        """The agent has told something new; the first time everything."""
        if self._timer:
            GLib.source_remove(self._timer)
            self._timer = 0
        first, self._values = not self._values, values
        if first and not self._installation.installing:
            self._installation = Installation(values)
            announcements = [Announcement(*each) for each in self._installation.properties().items()]
        else:
            announcements = self._installation.changed(values, names)
        for name in ("Compatible", "Variant", "SystemVersion", "BootSlot"):
            self._announce(name, self.properties()[name])
        self._tell(announcements)

    def finished(self) -> None:
        """The agent has said that an update ended."""
        self._tell(self._installation.finished(self._values))

    def gone(self) -> None:
        """The agent has left the bus; one that ends in the middle is started again, and goes on."""
        if self._installation.installing and not self._timer:
            self._timer = GLib.timeout_add_seconds(_COMEBACK, self._lost)

    def call(self, call: Call) -> Answer:
        """See ``agent.bus.serve.Handler``."""
        values = call.values
        if call.user is not None:  # the agent, and its audit log, see us as the caller
            _log.info("user %d asks for %s", call.user, call.method)
        if call.method in ("Install", "InstallBundle"):
            return self._install(values[0], values[1] if len(values) > 1 else {})
        answers: Mapping[str, Callable[..., tuple[object, ...]]] = {
            "Info": lambda path: names(self._inspect(path, {})),
            "InspectBundle": lambda path, options: (as_variants(self._inspect(path, options), GLib.Variant),),
            "Mark": self._mark,
            "GetSlotStatus": self._slot_status,
            "GetArtifactStatus": lambda: ([],),  # as of a RAUC without artifact repositories
            "GetPrimary": self._primary,
        }
        return Later(partial(answers[call.method], *values))

    def error(self, error: Exception) -> tuple[str, str]:
        """See ``agent.bus.serve.Handler``."""
        parts = explain(error)
        code = str(parts["code"])
        if code == "internal.unexpected":
            _log.error("a D-Bus call failed", exc_info=error)
            parts["details"] = ""  # it would tell others about our inner life
        return (DENIED if code == "access.denied" else REFUSED), _sentence(parts)

    def _install(self, source: str, options: Mapping[str, object]) -> Answer:
        if self._installation.installing:
            raise PolicyError("update.busy", BUSY)
        try:
            path = require_file(source)
        except PolicyError as error:  # rauc-hawkbit-updater, which streams by options, tells its server only LastError
            self._tell(self._installation.refused(_sentence(explain(error))))
            return ()
        wanted = wishes(options)
        return Later(partial(self._order, path, wanted))

    def _order(self, path: str, wanted: Wishes) -> tuple[object, ...]:
        """In a thread: has the agent install, or find out at once that it will not."""
        given = {"manifest-hash": wanted.manifest_hash, "transaction": wanted.transaction}
        options = {key: GLib.Variant("s", value) for key, value in given.items() if value}
        try:
            self._ask("InstallPath", "sa{sv}", path, options)
        except OtaError as error:
            if error.code == "update.busy":
                raise PolicyError("update.busy", BUSY, details=error.details) from error
            if error.code in ("access.denied", "daemon.unreachable"):
                raise
            GLib.idle_add(self._refused, _sentence(explain(error)))
        else:
            GLib.idle_add(self._accepted)
        return ()

    def _accepted(self) -> bool:
        self._tell(self._installation.accepted())
        return bool(GLib.SOURCE_REMOVE)

    def _refused(self, text: str) -> bool:
        self._tell(self._installation.refused(text))
        return bool(GLib.SOURCE_REMOVE)

    def _lost(self) -> bool:
        self._timer = 0
        self._tell(self._installation.lost())
        return bool(GLib.SOURCE_REMOVE)

    def _mark(self, state: str, identifier: str) -> tuple[object, ...]:
        slot = slot_meant(self._slots(), identifier)
        said = done(state, slot)
        try:
            self._ask("Mark", "ss", state, slot)
        except OtaError as error:
            failed = (
                f"failed to activate slot {slot}" if state == "active" else f"Failed marking slot {slot} as {state}"
            )
            raise type(error)(
                error.code, f"{failed}: {error.brief}", details=error.details, resolution=error.resolution
            ) from error
        return slot, said

    def _slot_status(self) -> tuple[object, ...]:
        return (
            [
                (name, {key: GLib.Variant(*typed) for key, typed in facts.items()})
                for name, facts in slot_status(self._slots())
            ],
        )

    def _primary(self) -> tuple[object, ...]:
        found = str(self._get("Primary"))
        if not found:
            raise EnvironmentFault(
                "rauc.primary-unknown", "Failed getting primary slot", details="no slot of this device boots next"
            )
        return (found,)

    def _inspect(self, source: str, options: Mapping[str, object]) -> Mapping[str, Any]:
        import subprocess  # only here, and seldom

        wishes(
            {name: value for name, value in options.items() if name not in ("require-manifest-hash", "transaction-id")}
        )
        files = [word for path in self._config for word in ("--config", str(path))]
        entry = str(Path(agent.__file__).with_name("__main__.py"))
        command = [sys.executable, "-I", entry, "inspector", *files, require_file(source)]
        if not self._inspecting.acquire(blocking=False):  # everybody may ask, and each inspector takes memory
            raise PolicyError("update.busy", BUSY)
        try:
            finished = subprocess.run(
                command, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=_INSPECTION
            )
        except subprocess.TimeoutExpired as error:
            raise EnvironmentFault(
                "rauc.inspect-failed", "the bundle could not be inspected", details=f"not within {_INSPECTION:.0f} s"
            ) from error
        finally:
            self._inspecting.release()
        return inspection(finished.stdout)

    def _slots(self) -> Slots:
        slots: Slots = self._get("Slots")
        return slots

    def _get(self, name: str) -> Any:  # noqa: ANN401 - any D-Bus value
        return self._explained(lambda: self._calls.get(BUS_NAME, OBJECT_PATH, MANAGER, name, timeout=_PATIENCE))

    def _ask(self, method: str, signature: str, *values: object) -> None:
        self._explained(
            lambda: self._calls.call(BUS_NAME, OBJECT_PATH, MANAGER, method, signature, *values, timeout=_PATIENCE)
        )

    @staticmethod
    def _explained(ask: Callable[[], Any]) -> Any:  # noqa: ANN401 - any D-Bus value
        try:
            return ask()
        except BusCallError as error:
            raise _explained(error) from error

    def _tell(self, announcements: Sequence[Announcement]) -> None:
        for name, value in announcements:
            self._announce(name, value)


def _explained(error: BusCallError) -> OtaError:
    parts = parse_error_message(error.message)
    if parts is not None:
        return from_explained(parts)
    return EnvironmentFault(
        "daemon.unreachable", "the update agent does not answer", details=f"{error.name}: {error.message}"[:500],
        resolution="systemctl status ota-agent tells whether it runs",
    )  # fmt: skip


def _sentence(parts: Mapping[str, object]) -> str:
    if parts["code"] in _WORDS:
        return str(parts["brief"])
    return one_line(str(parts["brief"]), str(parts["code"]), str(parts["resolution"]), str(parts["details"]))

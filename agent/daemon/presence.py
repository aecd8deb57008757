"""The daemon as others see it: D-Bus properties and the service manager's status line out, commands in.

What the update does is told here by the worker thread; whether a command makes sense now is decided here at once, so that
the caller gets an error and not silence.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Mapping
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

from agent.audit.port import Unrecorded
from agent.daemon.activities.mark import mark_meant
from agent.daemon.activities.scrub import targets
from agent.daemon.device import Device
from agent.daemon.handed import Handed
from agent.daemon.inbox import Inbox
from agent.daemon.knowledge import Knowledge
from agent.daemon.machine import CANCELLABLE, State
from agent.daemon.notify import notify
from agent.daemon.record import Record
from agent.daemon.results import results
from agent.daemon.slot_facts import seen_slots
from agent.daemon.terms import no_such_option, terms_of
from agent.errors import BundleError, ConfigError, EnvironmentFault, PolicyError

if TYPE_CHECKING:
    from gi.repository import GLib

    from agent.daemon.dbus_service import BusService
    from agent.daemon.requests import Consents, Records

_log = logging.getLogger(__name__)
_DECISION = 30.0  # seconds for the main thread to decide whether the daemon leaves


class Presence:
    """Serves D-Bus, or only waits when there is no bus.

    Args:
        inbox: takes the commands.
        device: what this device is.
        knowledge: what it holds, and how the last update ended.
        consents: hears what people say to updates, and knows the policy.
        bus: ``system``, ``session``, an address, or ``none``.
        has_server: whether checking makes sense.
        record: where the update stands that this start goes on with.
        until_check: asked before each check on demand: the seconds until one is allowed; 0 allows it and counts it.
        audit: records what was commanded, and what was refused; it is what the interface Audit shows.
        handed: keeps what is handed over as an open file.
        synchronised: whether the wall clock can be believed.
        variant: which variant of the device this is.
    """

    def __init__(
        self,
        inbox: Inbox,
        device: Device,
        knowledge: Knowledge,
        consents: Consents,
        bus: str,
        *,
        has_server: bool,
        record: Record,
        until_check: Callable[[], float] = lambda: 0.0,
        audit: Records | None = None,
        handed: Handed | None = None,
        synchronised: Callable[[], bool] = lambda: False,
        variant: str = "",
    ) -> None:
        self._inbox = inbox
        self._device = device
        self._knowledge = knowledge
        self._bus = bus
        self._has_server = has_server
        self._until_check = until_check
        self.audit = audit or Unrecorded()
        self._handed = handed or Handed()
        self._synchronised = synchronised
        self._consents = consents
        self._variant = variant
        self._state = record.state
        self._record = record
        self._service: BusService | None = None
        self._loop: GLib.MainLoop | None = None
        self._end = threading.Event()
        self._lost = self._told_to_end = False
        self._scrubs = 0
        self._scrubbing = False
        self._offer: Mapping[str, object] = {}

    def start(self) -> None:
        """Takes the name on the bus; commands are accepted from here on.

        Updates matter more than being seen: without a bus, or without the name, the work goes on and the log tells.
        """
        if self._bus == "none":
            return
        from agent.daemon.dbus_service import BusService

        service = BusService(
            self._bus, self, self._consents, self.audit, self._initial(),
            {"ClockQuality": lambda: "synced" if self._synchronised() else "floor"}, on_lost=self._bus_lost,
        )  # fmt: skip
        try:
            service.start()
        except EnvironmentFault as error:
            _log.error("working without D-Bus: %s", error, extra={"OTA_ERROR_CODE": error.code})
            service.stop()
        else:
            self._service = service

    def stop(self) -> None:
        """Leaves the bus."""
        if self._service is not None:
            self._service.stop()

    def serve(self, every: float | None = None, beat: Callable[[], object] = lambda: None) -> None:
        """Runs in the main thread until ``quit``.

        Args:
            every: seconds between two calls of ``beat``; None: there are none.
            beat: called in the main thread, so that it is not when that hangs.
        """
        if self._service is None:
            while not self._end.wait(every):
                beat()
            return
        from gi.repository import GLib

        for number in (signal.SIGTERM, signal.SIGINT):
            GLib.unix_signal_add(GLib.PRIORITY_HIGH, number, self._stop_asked)
        if every is not None:
            GLib.timeout_add(int(every * 1000), lambda: (beat(), True)[1])
        self._loop = GLib.MainLoop()
        if not self._end.is_set():
            self._loop.run()

    def leave(self) -> bool:
        """Asks the main thread to leave the bus for good, unless somebody has just asked for something; from the worker.

        Returns:
            Whether it has: then nothing but ``quit`` may follow.
        """
        service = self._service
        if service is None:
            return False
        from queue import Empty, SimpleQueue  # only system.idle-exit needs it

        from gi.repository import GLib

        answer: SimpleQueue[bool] = SimpleQueue()
        deciding, late = threading.Lock(), threading.Event()

        def decide() -> bool:
            with deciding:
                may = not (late.is_set() or self._inbox.anything() or self._scrubbing or self._lost)
                if may:
                    notify("STOPPING=1")
                    service.leave()
                answer.put(may)
            return False

        GLib.idle_add(decide)
        try:
            return answer.get(timeout=_DECISION)
        except Empty:  # the main thread has ended, or hangs
            with deciding:
                late.set()
            return not answer.empty() and answer.get()

    def last_call(self) -> float:
        """When somebody called on the bus, in seconds since the boot; 0: nobody has."""
        return self._service.last_call if self._service is not None else 0.0

    def told(self) -> Mapping[str, object]:
        """The properties as they are."""
        return self._service.properties() if self._service is not None else {}

    def quit(self) -> None:
        """Ends ``serve``, from any thread."""
        self._end.set()
        if self._service is not None:
            from gi.repository import GLib

            GLib.idle_add(self._end_loop)

    def entered(self, record: Record) -> None:
        """Tells that a state was entered."""
        news = self._state is not record.state
        self._state = record.state
        if news:
            notify(f"STATUS={record.state.value} {record.version}".strip())
            _log.info(
                "%s %s", record.state.value, record.version,
                extra={
                    "OTA_STATE": record.state.value,
                    "OTA_ACTION_ID": record.action_id,
                    "OTA_SLOT": record.target,
                    "OTA_BUNDLE_VERSION": record.version,
                },
            )  # fmt: skip
        changes: dict[str, object] = {
            "State": record.state.value, "TargetVersion": record.version, "TargetSlot": record.target,
        }  # fmt: skip
        if record.state is State.IDLE:
            changes |= {"Progress": (0.0, "", 0), "Offer": {}, **results(self._knowledge, self._device)}
        elif record.reason is not None:
            changes["LastError"] = (record.reason.code, record.reason.brief, record.reason.resolution)
        self.tell(changes)
        if news or record.state is State.IDLE:
            self.tell_slots()
        if record.state is not State.IDLE and (asked := self._inbox.take_scrub()):
            self.tell(
                {"LastScrub": (asked[1], "done", [("", "interrupted", "an update came first; scrub again later")])}
            )
        if record.state is not State.IDLE and (wish := self._inbox.take_mark()) and wish.take():
            wish.end(_busy(record.state))
        if self._lost and record.state is State.IDLE:
            self._inbox.stop()

    def tell(self, changes: Mapping[str, object]) -> None:
        """Publishes changed properties and sends signals, see ``dbus_service.BusService.publish``."""
        scrub = changes.get("LastScrub")
        if isinstance(scrub, tuple) and scrub[1] == "done":
            self._scrubbing = False
            self.tell_slots()
        properties = dict(changes)
        offer = properties.get("Offer")
        if isinstance(offer, dict):  # what was read of the same action stays, above all its metadata
            same = bool(offer) and offer.get("action") == self._offer.get("action")
            properties["Offer"] = self._offer = {**self._offer, **offer} if same else offer
        if self._service is None:
            return
        try:
            self._service.publish(properties)
        except ValueError as error:  # a text that D-Bus cannot carry, from a process that is not trusted
            _log.error("a property was not published: %s", error)

    def check(self) -> None:
        """Asks the server now.

        Raises:
            ConfigError: ``server.none``.
            EnvironmentFault: ``check.too-soon``.
        """
        if not self._has_server:
            raise ConfigError("server.none", "no update server is configured", resolution="set server.url")
        if (wait := ceil(self._until_check())) > 0:
            raise EnvironmentFault(
                "check.too-soon", "the server was asked a moment ago", details=f"possible again in {wait} s",
                resolution="ota-agent status tells what the server said; server.check-interval sets the pause",
            )  # fmt: skip
        self._inbox.check()

    def install(self, path: str, options: Mapping[str, object] | None = None) -> None:
        """Installs a local bundle.

        Args:
            path: absolute.
            options: ``manifest-hash`` and ``transaction``, see ``Terms``.

        Raises:
            EnvironmentFault: ``update.busy``.
            BundleError: ``bundle.not-found``.
            PolicyError: ``install.option``.
        """
        terms = terms_of(options or {})
        self._require_idle()
        try:
            found, why = Path(path).is_file(), ""
        except OSError as error:  # not all of them count as "no"
            found, why = False, f": {error.strerror}"
        if not found:
            raise BundleError(
                "bundle.not-found", "there is no such bundle", details=f"{path}{why}", resolution="check the path"
            )
        self._inbox.install(path, terms)

    def install_file(self, fd: int, name: str, options: Mapping[str, object]) -> None:
        """Installs the bundle in an open file.

        Args:
            fd: of a regular file, opened for reading alone; it stays the caller's.
            name: of the file, for people.
            options: there are none yet.

        Raises:
            EnvironmentFault: ``update.busy``.
            BundleError: ``install.descriptor``.
            PolicyError: ``install.option``.
        """
        if options:
            raise no_such_option(options)
        self._require_idle()
        self._inbox.install_given(self._handed.keep(fd, name))

    def cancel(self) -> None:
        """Gives up the update under way, or the scrub.

        Raises:
            PolicyError: ``update.not-cancellable``.
        """
        if self._state not in CANCELLABLE and not self._scrubbing:
            brief = "there is nothing to cancel" if self._state is State.IDLE else "it is too late to cancel"
            raise PolicyError("update.not-cancellable", brief, details=f"state {self._state.value}")
        self._inbox.cancel()

    def scrub(self, slot: str) -> None:
        """Reads slots back: one slot, one boot name, or all that do not run with an empty text.

        Raises:
            EnvironmentFault: ``update.busy``, ``scrub.busy``.
            ConfigError: ``slot.unknown``.
            PolicyError: ``scrub.running``.
        """
        self._require_idle()
        if self._scrubbing:
            raise EnvironmentFault(
                "scrub.busy", "slots are being scrubbed already", resolution="wait for that to end, or cancel it"
            )
        targets(self._device, slot)
        self._scrubs += 1
        self._scrubbing = True
        self.tell({"LastScrub": (self._scrubs, "running", [])})
        self._inbox.scrub(slot, self._scrubs)

    def mark(self, state: str, slot: str) -> Callable[[], None]:
        """Tells the bootloader about a slot.

        Args:
            state: ``good``, ``bad`` or ``active``.
            slot: ``booted``, ``other``, a boot name, or a slot.

        Returns:
            What waits until the worker has done it, in any thread; it raises what that failed with, and ``mark.late``.

        Raises:
            EnvironmentFault: ``update.busy``.
            PolicyError: ``mark.state``.
            ConfigError: ``mark.slot``.
        """
        wish = mark_meant(self._device, state, slot)
        self._require_idle()
        self._inbox.mark(wish)
        return wish.wait

    def _require_idle(self) -> None:
        if self._state is not State.IDLE or self._inbox.install_asked():
            raise _busy(self._state)

    def tell_slots(self) -> None:
        """Tells what is known of the slots now; from any thread.

        Apart from the rest: a text in a bundle that D-Bus cannot carry must not hide what else is told.
        """
        if self._service is not None:
            self.tell(seen_slots(self._device, self._knowledge))

    def _initial(self) -> dict[str, object]:
        server = {"ServerState": "unknown"} if self._has_server else {}
        return {
            "Slot": self._device.booted.bootname, "Rescue": self._device.booted.rescue, "BootId": self._device.boot_id,
            **server, **results(self._knowledge, self._device), **self._consents.properties(),
            "State": self._record.state.value, "TargetVersion": self._record.version, "TargetSlot": self._record.target,
            "Compatible": self._device.compatible, "Variant": self._variant, **seen_slots(self._device, self._knowledge),
        }  # fmt: skip

    @property
    def lost(self) -> bool:
        """Whether the bus went away: there is no way back to it but a new process. With the device it goes anyway."""
        return self._lost and not self._told_to_end

    def _bus_lost(self) -> None:
        self._lost = True
        if self._state is State.IDLE:  # otherwise the update under way is finished first
            self._inbox.stop()

    def _end_loop(self) -> bool:
        if self._loop is not None:
            self._loop.quit()
        return False

    def _stop_asked(self) -> bool:
        self._told_to_end = True
        self._inbox.stop()
        return True


def _busy(state: State) -> EnvironmentFault:
    return EnvironmentFault(
        "update.busy", "another update is under way", details=f"state {state.value}",
        resolution="wait for it to end, or cancel it",
    )  # fmt: skip

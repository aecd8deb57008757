"""The composition root of the daemon: builds everything, starts the worker, serves D-Bus, ends in order.

The worker thread drives the update and does everything that takes time. The main thread only serves D-Bus and signals.
"""

from __future__ import annotations

import faulthandler
import logging
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from agent.audit.log import AuditLog
from agent.bus.calls import Bus
from agent.clock import Clock, SystemClock, built, verification_time
from agent.config import Config, load, salvage
from agent.consent.board import Board
from agent.consent.book import Book
from agent.consent.changes import Changes
from agent.consent.desk import Desk
from agent.consent.gates import Gates
from agent.daemon import children, notify
from agent.daemon.activated import Sockets
from agent.daemon.activities import activities
from agent.daemon.activities.holdings import installed_by
from agent.daemon.activities.watch import Watch
from agent.daemon.attributes import own_attributes
from agent.daemon.audited import AuditedEnv
from agent.daemon.context import Context
from agent.daemon.device import look_at, variant_of
from agent.daemon.handed import Handed
from agent.daemon.healing import read_or_heal
from agent.daemon.heartbeat import Feeder, usual_silence
from agent.daemon.inbox import Inbox
from agent.daemon.installers import Installers
from agent.daemon.knowledge import Knowledge
from agent.daemon.machine import State, advance
from agent.daemon.memory import Memory
from agent.daemon.network import Network
from agent.daemon.poll_plan import CheckLimit
from agent.daemon.presence import Presence
from agent.daemon.probing import Prober
from agent.daemon.record import Record
from agent.daemon.restart import Restart
from agent.daemon.resume import event_after_start, lost_success
from agent.daemon.runner import Patience, Runner
from agent.daemon.server import Server
from agent.daemon.session import Sessions
from agent.daemon.store import Store
from agent.daemon.trial_notes import TrialNotes, leave
from agent.errors import ConfigError, EnvironmentFault, OtaError, explain
from agent.health.choose import choose

if TYPE_CHECKING:
    from agent.daemon.leaving import Leaving
    from agent.media.station import Station

_log = logging.getLogger(__name__)


class Daemon:
    """Everything of one daemon, built and resumed, not yet running.

    Args:
        config: see ``agent.config``.
        clock: time.
        spawn: starts a child where systemd does not (``agent.daemon.activated``).
        observe: told each record as its state is entered; tests use it to strike at an exact moment.

    Raises:
        ConfigError, SlotError, BootEnvError: the device cannot be updated as it is configured.
    """

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock | None = None,
        spawn: Callable[[str], children.Child] = children.spawn,
        observe: Callable[[Record], None] = lambda _: None,
    ) -> None:
        self.config = config
        self.inbox = Inbox()
        self.inbox.heartbeat.silence = usual_silence(config)
        self._clock = clock or SystemClock()
        self._store = Store(config.system.state_dir)
        self._knowledge = Knowledge(self._store)
        device = look_at(config)
        self.audit = AuditLog(
            config.system.state_dir / "audit", clock=self._clock, boot_id=device.boot_id,
            recording=config.audit.record, segment_size=config.audit.segment_size, segments=config.audit.segments,
            earliest=self._earliest,
        )  # fmt: skip
        env = AuditedEnv(device.env, self.audit)
        self._device = replace(device, env=env)
        if self._device.booted.rescue:
            _log.warning("the rescue system runs, because no slot boots: an update is needed")
        self._memory = Memory(self._store)
        self._bus = Bus(config.system.bus)
        changes = Changes(config.policy, config.server.max_rate, self._store)
        self.desk = Desk(
            self._clock, self.inbox, changes=changes, book=Book(self._store, self._clock, self._device.boot_id),
            gates=Gates(self._bus, self._clock.boottime),
            board=Board(config.system.run_dir, config.policy.motd, self._tell), tell=self._tell, audit=self.audit,
        )  # fmt: skip
        places = {
            "fetcher": config.fetcher.socket, "finder": config.media.socket, "installer": config.installer.socket
        }  # fmt: skip
        start = Sockets(places, spawn)
        sessions = Sessions(
            config, self._clock.wall, lambda: changes.max_rate, fetcher_has=lambda: start.activated("fetcher")
        )
        network = Network(start, sessions, self.inbox.await_one)
        server = (
            Server(config.server, network, self._store, self._clock, self._attributes, self._confirmed)
            if config.server.url
            else None
        )
        self._resume(server)
        handed = Handed()
        self.presence = Presence(
            self.inbox, self._device, self._knowledge, self.desk, config.system.bus,
            has_server=bool(config.server.url), record=self._memory.record,
            until_check=CheckLimit(config.server.check_interval, self._clock).take, audit=self.audit, handed=handed,
            synchronised=self._clock.synchronised,
            variant=_variant(config),
        )  # fmt: skip
        env.told = self.presence.tell_slots
        self._recalled: Mapping[str, object] = {}
        leaving = self._leaving(server)
        checks = partial(
            choose,
            config,
            self._bus,
            Prober(start, config, self.inbox.await_one),
            stopping=self.inbox.stopping,
        )
        context = Context(
            config=config,
            device=self._device,
            knowledge=self._knowledge,
            server=server,
            installers=Installers(start),
            inbox=self.inbox,
            clock=self._clock,
            boot_checks=checks(None),
            trial_checks=checks(server.contact if server else None),
            memory=self._memory,
            notes=TrialNotes(self._store, config.health, self._clock),
            tell=self.presence.tell,
            reset=Restart(
                config.system.reboot_command,
                self._bus,
                warning=config.update.reboot_warning,
                patience=config.update.reboot_blocked,
                pause=self.inbox.pause,
                announce=self._announce,
                blocked=lambda by: self.presence.tell({"Inhibited": list(by)}),
            ),
            audit=self.audit,
            desk=self.desk,
            spawn=start,
            bus=self._bus,
            handed=handed,
            media=self._media(),
            leaving=leaving,
        )
        self._dismiss = context.dismiss
        self._observe = observe
        self._runner = Runner(
            activities(context),
            memory=self._memory,
            boot_id=self._device.boot_id,
            clock=self._clock,
            inbox=self.inbox,
            patience=Patience(config.update.attempts, config.update.retry_delay),
            observe=self._entered,
            watch=lambda record: Watch(context, record).wait,
        )

    def run(self) -> int:
        """Works until told to stop; returns the exit status."""
        status = 0

        def work() -> None:
            nonlocal status
            try:
                self._runner.run()
            except BaseException:  # noqa: BLE001 - a defect of ours: the service manager starts us again, the record is safe
                _log.critical("the worker ended unexpectedly", exc_info=True)
                status = 1
            finally:
                self.presence.quit()

        worker = threading.Thread(target=work, name="worker")
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.inbox.stop())
        signal.signal(signal.SIGHUP, lambda *_: self._check())
        self.presence.start()
        self.presence.tell(self._recalled)
        worker.start()
        notify.notify("READY=1")
        try:
            self.presence.serve(notify.watchdog_interval(), Feeder(self.inbox.heartbeat, notify.notify))
        finally:
            notify.notify("STOPPING=1")
            self.inbox.stop()
            worker.join()
            self._dismiss()
            self.presence.stop()
            self._bus.close()
            self._store.close()
        return 1 if self.presence.lost else status

    def _announce(self, seconds: int) -> None:
        text = f"restarting in {seconds} s" if seconds else "restarting"
        self.presence.tell({"Progress": (1.0, text, 0), "Update.RebootPending": (seconds,)})

    def _check(self) -> None:
        with suppress(OtaError):  # whoever sends a signal waits for no answer
            self.presence.check()

    def _entered(self, record: Record) -> None:
        told = {"action": record.action_id, "version": record.version, "slot": record.target, "origin": record.origin}
        self.audit.note("state", record.state.value, **{key: text for key, text in told.items() if text})
        if record.state not in (State.OFFERED, State.INSPECTING, State.WAITING, State.FETCHING, State.STAGING):
            self._dismiss()
        self.presence.entered(record)
        self.desk.entered(record)
        self._observe(record)

    def _tell(self, changes: Mapping[str, object]) -> None:
        self.presence.tell(changes)

    def _resume(self, server: Server | None) -> None:
        device = self._device
        state = read_or_heal(device, self._memory, self._knowledge)
        trial, others = state.trial, device.fallbacks(state.order)
        booted = state.slots.get(device.booted.bootname)
        self.audit.note(
            "boot", device.booted.bootname, version=device.version, trial=trial, rescue=device.booted.rescue,
            attempts=booted.attempts if booted else 0,
        )  # fmt: skip
        record = self._memory.load(trial=trial, booted=device.booted.bootname, others=others)
        event = event_after_start(record, boot_id=device.boot_id, booted=device.booted.bootname, trial=trial)
        if event is not None:
            _log.info("%s: this boot answers with %s", record.state.value, event.value)
            self._memory.record = replace(record, state=advance(record.state, event), attempts=0)
        elif server is not None and record.state is State.IDLE and (lost := self._lost(server, others)) is not None:
            _log.warning("slot %s was confirmed, but is gone before the server has heard of it", lost.target)
            self._memory.record = lost

    def _lost(self, server: Server, others: tuple[str, ...]) -> Record | None:
        try:
            ending = self._knowledge.ending()
            if not server.has_yet_to_hear(ending.action_id):
                return None
            held = self._knowledge.content(ending.target)
        except EnvironmentFault as error:  # it was put aside; nothing more can be known
            _log.error("%s", error, extra={"OTA_ERROR_CODE": error.code})
            return None
        booted = self._device.booted.bootname
        return lost_success(ending, booted=booted, others=others, manifest_hash=held.manifest_hash)

    def _leaving(self, server: Server | None) -> Leaving | None:
        """None: it stays, because that is configured, or nobody could start it again, or it looks for media."""
        system = self.config.system
        if not system.idle_exit or system.bus == "none" or self.config.media.install != "off":
            return None
        from agent.daemon.leaving import Leaving

        leaving = Leaving(
            system.idle_exit, bus=self._bus, clock=self._clock, directory=system.run_dir, boot_id=self._device.boot_id,
            plan=server.plan if server is not None else None, leave=self.presence.leave,
            last_call=self.presence.last_call, told=self.presence.told,
        )  # fmt: skip
        self._recalled = leaving.recall()
        return leaving

    def _media(self) -> Station | None:
        """Nothing of this is loaded where media are not looked for."""
        if self.config.media.install == "off":
            return None
        from agent.media.start import start

        return start(self.config, self._device, self._store)

    def _earliest(self) -> int:
        try:
            signed_at = self._knowledge.signed_at()
        except EnvironmentFault:  # it is told by whoever needs more of it
            signed_at = 0
        return verification_time(0, signed_at, built(self.config.system.clock_epoch))

    def _confirmed(self) -> str:
        return installed_by(self._knowledge, self._device)

    def _attributes(self) -> Mapping[str, str | None]:
        held = self._knowledge.content(self._device.booted.bootname)
        return own_attributes(
            version=held.version or self._device.version,
            slot=self._device.booted.bootname,
            compatible=self._device.compatible,
            manifest_hash=held.manifest_hash,
            ending=self._knowledge.ending(),
            configured=self.config.server.attributes,
        )


def _variant(config: Config) -> str:
    try:
        return variant_of(config)
    except ConfigError as error:  # an update asks again, and then says what is wrong
        _log.warning("%s", error, extra={"OTA_ERROR_CODE": error.code})
        return ""


def run(paths: Sequence[Path] | None = None, *, loaded: Callable[[], None] = lambda: None) -> int:
    """Runs the daemon with this configuration; returns the exit status.

    Args:
        paths: see ``agent.config.load``.
        loaded: called when the configuration was read.

    2: it cannot start as configured, so starting it again would not help. 1: it ended for another reason.
    """
    from agent import journal

    journal.setup()
    if not faulthandler.is_enabled():  # SIGABRT of systemd's watchdog, when the main loop itself hangs
        faulthandler.enable(file=2)
    config = None
    try:
        config = load(paths)
        loaded()
        daemon = Daemon(config)
    except Exception as error:  # noqa: BLE001 - whatever it is, the start failed and a person must learn why
        parts = explain(error)
        _log.critical(
            "%s: %s [%s]", parts["brief"], parts["details"], parts["code"], extra={"OTA_ERROR_CODE": parts["code"]}
        )
        if parts["resolution"]:
            _log.critical("next: %s", parts["resolution"])
        if parts["code"] == "state.locked":  # another agent is there, and judges this system
            return 1
        config = config or salvage(paths)
        on_trial = config is not None and _leave_trial(config, error)
        return 1 if on_trial or parts["retryable"] else 2
    problem: Exception = EnvironmentFault("internal.unexpected", "the daemon ended unexpectedly")
    try:
        status = daemon.run()
    except Exception as error:  # noqa: BLE001 - a library of the new system may be missing or broken
        _log.critical("the daemon ended unexpectedly", exc_info=True)
        status, problem = 1, error
    if status != 0:
        _leave_trial(config, problem)
    return status


def _leave_trial(config: Config, problem: Exception) -> bool:
    """A new system whose agent cannot work must not stay: restarts use up its attempts, then the old one boots.

    Args:
        config: what could be read of it.
        problem: why the agent cannot work, which the old system will tell.

    Returns:
        Whether this system is on trial, so that the agent must be started again until the device restarts.
    """
    try:
        device = look_at(config)
        marker = device.env.read().trial
        if not marker.startswith(f"{device.booted.bootname},"):
            return False
        _log.critical("this system is on trial and its agent cannot work: restarting")
        _note(config, device.boot_id, marker, problem)
        Restart(config.system.reboot_command, Bus(config.system.bus))()
    except Exception as error:  # noqa: BLE001 - the trial cannot be recognised, so nothing is done about it
        _log.error("it is not known whether this system is on trial: %s", explain(error)["brief"])
        _log.debug("%s", error, exc_info=True)
        return False
    return True


def _note(config: Config, boot_id: str, marker: str, problem: Exception) -> None:
    parts = explain(problem)
    text = f"{parts['brief']}: {parts['details']} [{parts['code']}]"
    try:
        leave(config.system.state_dir, marker, boot_id, SystemClock().boottime(), " ".join(text.split()))
    except Exception as error:  # noqa: BLE001 - the way back matters more than its reason
        _log.error("the reason cannot be noted: %s", explain(error)["brief"])

"""A simulated device: the real daemon from ``Daemon`` inwards, its store, its boot environment, the fetcher's and the
installer's own code, real HTTP. Simulated are the board, the time, and the verdict of the health check.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pki.build import pem, shared_pki

from agent import config as settings
from agent.daemon import main as daemon_main
from agent.daemon.inbox import HasFileno, Inbox, Stopped
from agent.daemon.machine import State
from agent.daemon.record import Record
from agent.errors import EnvironmentFault
from agent.fetcher import session as fetcher_session
from agent.health.result import CheckResult, green, red
from agent.health.server import ServerCheck
from agent.health.suite import Suite
from agent.wire import Frame
from fleet.between import NotedChild, NotedEnv, NotedStore, links_of
from fleet.board import Board
from fleet.strikes import Killed, Moments, PowerCut
from fleet.systems import COMPATIBLE, GOOD, System
from fleet.turns import Alone, DeviceClock, Turns

_QUIET_POLLS = 2  # polls in a row without an offer: the server has nothing more to say
_MOST_WAITS = 4000
_OFFERS = {"deploymentBase", "cancelAction", "confirmationBase"}
_here = threading.local()


class Reset(BaseException):
    """The device restarts. Not an Exception: nothing of the daemon may survive it."""


class Restless(BaseException):
    """The daemon goes on for ever."""


@dataclass(slots=True)
class Seen:
    """What was seen of a device from outside.

    Attributes:
        words: final messages about an action: the resource, the result, and the truth at that moment: the running
            version, and whether its trial was over.
        requests: to the server.
        polls: answered.
        states: that were entered, in order.
        quiet: polls in a row without an offer.
        offered_at: when an update was first offered, on the clock of the fleet.
        told_at: when the last final message was sent.
    """

    words: list[tuple[str, str, str, bool]] = field(default_factory=list)
    requests: int = 0
    polls: int = 0
    states: list[str] = field(default_factory=list)
    quiet: int = 0
    offered_at: float = 0.0
    told_at: float = 0.0


class Device:
    """One device.

    Args:
        home: an empty folder, which is its disk.
        controller_id: its name on the server.
        url: of the server.
        auth: ``("target" | "gateway", token)``.
        time: the clock that it shares with others, or its own.
        system: from the factory.
        moments: tells and strikes.
        rests: ends the life of a device that has nothing left to do; without it, it polls for ever.
        overrides: of settings, as in the TOML file.
    """

    def __init__(
        self,
        home: Path,
        controller_id: str,
        url: str,
        auth: tuple[str, str],
        time: Turns | Alone,
        system: System,
        *,
        moments: Moments | None = None,
        rests: bool = False,
        synchronised: bool = True,
        overrides: Mapping[str, object] | None = None,
    ) -> None:
        home.mkdir(parents=True)
        self.home, self.controller_id, self.seen, self.factory = home, controller_id, Seen(), system.version
        self.moments = moments or Moments()
        self._time, self.rests = time, rests
        self.clock = DeviceClock(time, synchronised=synchronised)
        self.board = Board(home, system, time.wait)
        self.state = State.IDLE
        self.on_state: Callable[[State], None] = lambda _: None
        self._children: list[NotedChild] = []
        self.offline = False
        self._waits = 0
        self._offered = False
        self.inbox: Inbox | None = None  # of the daemon that runs
        _write(home, controller_id, auth, overrides or {})
        loaded = settings.load([home / "device.toml"])
        # A shipped configuration takes https only; a hawkBit on loopback has no certificate.
        self.config = replace(loaded, server=replace(loaded.server, url=url))

    def live(self) -> None:
        """From the first power on to its rest, through resets and kills."""
        self.clock.boot()
        self.board.reset()
        while True:
            try:
                self._run()
            except (Reset, PowerCut):
                self.clock.boot()
                self.board.reset()
            except Killed:
                self._time.wait(1.0)  # RestartSec= of the unit
            else:
                return

    def _run(self) -> None:
        """The service manager starts the daemon; returns when it has come to rest."""
        _here.device = self
        self.state, self.seen.quiet = State.IDLE, 0
        daemon = None
        self.store: NotedStore | None = None
        try:
            daemon = daemon_main.Daemon(self.config, clock=self.clock, spawn=self._spawn, observe=self._entered)
            daemon._runner.run()
        finally:
            for child in self._children:
                child.close()
            self._children.clear()
            if self.store is not None:
                self.store.close()

    def document(self, name: str) -> Mapping[str, Any]:
        """A document of the state directory."""
        try:
            values = json.loads((self.home / "state" / f"{name}.json").read_bytes())
        except OSError:
            return {}
        return dict(values)

    def finished(self) -> bool:
        """Whether it has nothing to do, nothing to say, and the server nothing for it."""
        quiet = self.state is State.IDLE and self.seen.quiet >= _QUIET_POLLS
        return quiet and not self.document("outbox").get("entries")

    def waits(self) -> None:
        """Called at each wait."""
        self._waits += 1
        if self._waits > _MOST_WAITS and self.rests:
            raise Restless(f"in {self.state.value}")
        if self.rests and self.finished():
            raise Stopped

    def heard(self, method: str, path: str, body: bytes, answer: Frame | None) -> None:
        """A request is made (no answer yet), or was answered."""
        if answer is None:
            if self.offline:
                raise EnvironmentFault("net.connect", "the connection to the server failed")
            self.seen.requests += 1
            if path.endswith("/feedback") and "/confirmationBase/" not in path:
                self._word(path, json.loads(body)["status"])
        elif method == "GET" and path.endswith(f"/{self.controller_id}"):
            self._polled(answer)

    def _polled(self, answer: Frame) -> None:
        status = answer.header.get("status")
        if status == 200:
            self._offered = bool(_OFFERS & set(links_of(answer)))
            if self._offered and not self.seen.offered_at:
                self.seen.offered_at = self._time.now
        if status in (200, 304):  # not modified
            self.seen.polls += 1
            self.seen.quiet = 0 if self._offered or self.state is not State.IDLE else self.seen.quiet + 1

    def _word(self, path: str, status: Mapping[str, Any]) -> None:
        final = status["execution"] == "closed" or (status["execution"], "success") == ("downloaded", "success")
        if final:
            resource, result = path.split("/")[-3], f"{status['execution']} {status['result']['finished']}"
            over = "OTA_TRIAL" not in self.board.variables
            self.seen.told_at = self._time.now
            self.seen.words.append((resource, result, self.board.system.version, over))

    def _spawn(self, kind: str) -> Any:
        child = NotedChild(kind, self.moments.pass_by, self.heard)
        for each in self._children:
            if not each.alive():
                each.close()
        self._children = [*(each for each in self._children if each.alive()), child]
        return child

    def _entered(self, record: Record) -> None:
        if record.state is not self.state or not self.seen.states:
            self.seen.states.append(record.state.value)
        self.state = record.state
        self.on_state(record.state)
        self.moments.pass_by(f"the activity of {record.state.value} begins")


class _Inbox(Inbox):
    """Waits on the clock of the device; for children it really waits, as they really work."""

    def __init__(self, device: Device) -> None:
        super().__init__()
        self._device = device
        device.inbox = self

    def wait(self, seconds: float | None, sources: Iterable[HasFileno] = ()) -> list[HasFileno]:
        wanted = list(sources)
        if wanted:
            return super().wait(seconds, wanted)
        self._device.waits()
        self._device._time.wait(86400.0 if seconds is None else seconds)
        return super().wait(0)

    def pause(self, seconds: float) -> None:
        self.wait(seconds)


@dataclass(frozen=True, slots=True)
class _Probe:
    """The health check of the system that runs."""

    device: Device
    name: str = "probe"

    def run(self) -> CheckResult:
        board = self.device.board
        return green(self.name) if board.health(board.system) == GOOD else red(self.name, "told to fail")


def _suite(_config: object, _bus: object, _prober: object, contact: Callable[[], None] | None, **_: object) -> Suite:
    checks: list[Any] = [_Probe(_here.device)]
    return Suite([*checks, ServerCheck(contact)] if contact else checks)


def _store(directory: Path) -> NotedStore:
    device: Device = _here.device
    device.store = NotedStore(directory, device.moments.pass_by)
    return device.store


def _look_at(config: settings.Config) -> Any:
    found = _real_look_at(config)
    return replace(found, env=NotedEnv(found.env, _here.device.moments.pass_by))


def _reset(_argument: str = "") -> None:
    _here.device.moments.pass_by("the reset is asked for")
    raise Reset


_real_look_at = daemon_main.look_at


@contextmanager
def surroundings() -> Iterator[None]:
    """While this lasts, a daemon that is built in the thread of a device finds the surroundings of that device."""
    mine: list[tuple[Any, str, Any]] = [
        (daemon_main, "Inbox", lambda: _Inbox(_here.device)),
        (daemon_main, "choose", _suite),
        (daemon_main, "Restart", lambda *_, **__: _reset),
        (daemon_main, "Store", _store),
        (daemon_main, "look_at", _look_at),
        (fetcher_session, "deadline", nullcontext),  # an interval timer belongs to a process, see children.py
    ]
    before = [(place, name, getattr(place, name)) for place, name, _ in mine]
    logging.disable(logging.CRITICAL)
    try:
        for place, name, value in mine:
            setattr(place, name, value)
        yield
    finally:
        for place, name, value in before:
            setattr(place, name, value)
        logging.disable(logging.NOTSET)


def _write(home: Path, controller_id: str, auth: tuple[str, str], overrides: Mapping[str, object]) -> None:
    (home / "root.pem").write_bytes(pem(shared_pki().root))
    (home / "clock-epoch").touch()
    token = home / "token"
    token.touch(mode=0o600)
    token.write_text(auth[1] + "\n")
    values: dict[str, object] = {
        "system.compatible": COMPATIBLE,
        "system.state-dir": "state",
        "system.os-release": "run/os-release",
        "system.cmdline": "run/cmdline",
        "system.boot-id": "run/boot-id",
        "system.clock-epoch": "clock-epoch",
        "system.reboot-command": ["false"],
        "system.bus": "none",
        "keyring.path": "root.pem",
        "server.url": "https://127.0.0.1",
        "server.ca-file": "root.pem",  # without one, all of the system's are loaded for each conversation
        "server.controller-id": controller_id,
        f"server.{auth[0]}-token-file": "token",
        "server.poll-min": 10,
        "fetcher.user": "",
        "bootloader.type": "uboot",
        "bootloader.fw-env-config": "fw_env.config",
        "bootloader.lock-file": "run/fw_env.lock",
        "health.pstore": [],
        "health.bootstatus": "",
        "health.deadline": 60,
        "health.soak": 10,
        "health.interval": 5,
        **overrides,
    }
    for index, name in enumerate("AB"):
        values[f"slot.rootfs.{index}.device"] = str(home / f"slot-{name.lower()}")
        values[f"slot.rootfs.{index}.bootname"] = name
    sections: dict[str, list[str]] = {}
    for name, value in values.items():
        section, _, key = name.rpartition(".")
        sections.setdefault(section, []).append(f"{key} = {json.dumps(value)}")
    text = "\n".join(f"[{section}]\n" + "\n".join(lines) + "\n" for section, lines in sections.items())
    (home / "device.toml").write_text(text)


__all__ = ["Device", "Reset", "Restless", "Seen", "surroundings"]

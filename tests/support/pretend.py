"""The surroundings of the daemon in memory, with real rules: for tests of what happens at each moment of an update.

Time passes only by waiting. A strike, set by a test, falls before or after any durable write.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from agent.audit.port import Auditor, Unrecorded
from agent.bus.calls import BusCallError
from agent.config import PolicySettings
from agent.config_policy import POLICY_SETTINGS
from agent.consent.board import Board
from agent.consent.book import Book
from agent.consent.changes import Changes as PolicyChanges
from agent.consent.desk import Desk
from agent.consent.gates import Gates
from agent.daemon.context import Context
from agent.daemon.device import Device
from agent.daemon.inbox import HasFileno, Inbox, Stopped
from agent.daemon.installers import Installers
from agent.daemon.knowledge import Knowledge
from agent.daemon.memory import Memory
from agent.daemon.trial_notes import TrialNotes
from agent.errors import EnvironmentFault
from agent.hawkbit.feedback import Feedback
from agent.health.result import CheckResult, green, red
from agent.health.suite import Suite
from bootloader_env.errors import BootEnvError
from bootloader_env.order import Changes, Rules, UbootDialect, effective
from bootloader_env.port import BootEnv, BootState, Capabilities
from slots.model import Slot, groups_of

FULL = EnvironmentFault("state.write-failed", "no space left")


class Clock:
    """Moves when somebody waits."""

    def __init__(self) -> None:
        self.now = 100.0

    def boottime(self) -> float:
        return self.now

    def wall(self) -> float:
        return 1_700_000_000.0 + self.now

    def synchronised(self) -> bool:
        return True


class Patient(Inbox):
    """An inbox whose waits move the clock instead of taking time."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, seconds: float | None, sources: Iterable[HasFileno] = ()) -> list[HasFileno]:
        if self._stop:
            raise Stopped
        self._clock.now += 3600.0 if seconds is None else max(0.0, seconds)
        return []

    def listen(self, seconds: float | None, source: HasFileno) -> bool:
        return bool(self.wait(seconds, (source,)))

    def pause(self, seconds: float) -> None:
        self.wait(seconds)


class Disk:
    """Documents in memory, with the interface of the store."""

    def __init__(self) -> None:
        self.documents: dict[str, dict[str, object]] = {}
        self.damaged: dict[str, bytes] = {}
        self.aside: dict[str, bytes] = {}
        self.full = False
        self.strike: Callable[[], None] = lambda: None

    def load(self, name: str) -> dict[str, object] | None:
        return copy.deepcopy(self.documents.get(name))

    def read(self, name: str) -> bytes | None:
        if name in self.damaged:
            return self.damaged[name]
        return json.dumps(self.documents[name], sort_keys=True).encode() if name in self.documents else None

    def put_aside(self, name: str, data: bytes) -> None:
        if self.full:
            raise FULL
        self.strike()
        self.aside[name] = data
        self.strike()

    def save(self, name: str, values: dict[str, object]) -> None:
        if self.full:
            raise FULL
        self.strike()
        self.documents[name] = copy.deepcopy(values)
        self.damaged.pop(name, None)
        self.strike()

    def remove(self, name: str) -> None:
        if self.full:
            raise FULL
        self.strike()
        self.documents.pop(name, None)
        self.strike()

    def quarantine(self, name: str) -> None:
        self.documents.pop(name, None)


class Environment:
    """A boot environment in memory with RAUC's variables for U-Boot, by the real rules."""

    def __init__(self, bootnames: Sequence[str] = "AB", rescue: str = "") -> None:
        self.variables = {"BOOT_ORDER": " ".join(bootnames), **{f"BOOT_{name}_LEFT": "3" for name in bootnames}}
        self.broken: BootEnvError | None = None
        self.strike: Callable[[], None] = lambda: None
        self.calls: list[tuple[str, ...]] = []
        self._rules = Rules(tuple(bootnames), UbootDialect(3, 3), tuple(rescue))

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(atomic=True, marker_inside=True, redundant=True, trial_attempts=3)

    def current(self) -> str:
        return ""

    def heal(self, bootname: str, good: Sequence[str]) -> bool:
        return False

    def read(self) -> BootState:
        return self._rules.state(self.variables)

    def activate(self, target: str, *, fallback: str, trial: str) -> None:
        self._write(("activate", target), self._rules.activate(self.variables, target, fallback, trial))

    def confirm(self, bootname: str) -> None:
        self._write(("confirm", bootname), self._rules.confirm(self.variables, bootname))

    def revert(self, bad: str, good: str) -> None:
        self._write(("revert", bad, good), self._rules.revert(self.variables, bad, good))

    def mark_good(self, bootname: str) -> None:
        self._write(("mark_good", bootname), self._rules.mark_good(self.variables, bootname))

    def _write(self, call: tuple[str, ...], changes: Changes) -> None:
        if self.broken is not None:
            raise self.broken
        changes = effective(self.variables, changes)
        self.strike()
        for name, value in changes.items():
            if value is None:
                self.variables.pop(name, None)
            else:
                self.variables[name] = value
        self.calls.append(call)
        self.strike()


class Probe:
    """A health check that a test turns red."""

    name = "probe"

    def __init__(self) -> None:
        self.sick = False
        self.on_run: Callable[[], None] = lambda: None

    def run(self) -> CheckResult:
        self.on_run()
        return red(self.name, "sick") if self.sick else green(self.name)


class Plan:
    """A plan of polls in the hands of a test."""

    watch_interval = 15.0
    poll_interval = 300.0

    def __init__(self) -> None:
        self.next_poll = 0.0
        self.not_before = 0.0

    def at_once(self) -> None:
        self.next_poll = 0.0


class Office:
    """The server as the activities see it: what is said to it is noted."""

    def __init__(self) -> None:
        self.said: list[Feedback] = []
        self.problem: EnvironmentFault | None = None
        self.plan = Plan()
        self.spending = SimpleNamespace(forget=lambda: None)
        self.polls = 0
        self.heard: Any = None
        self.told_installed: list[tuple[str, str]] = []
        self.on_say: Callable[[Feedback], None] = lambda _: None
        self.on_poll: Callable[[], Any] = lambda: None

    def say(self, message: Feedback) -> None:
        self.on_say(message)
        self.said.append(message)

    def deliver(self, _talk: object = None) -> bool:
        return True

    def poll(self, *, keep: bool = False) -> Any:
        self.polls += 1
        self.heard = self.on_poll()
        return self.heard

    def dismiss(self) -> None:
        pass

    def installed(self, name: str, version: str) -> None:
        self.told_installed.append((name, version))

    def absolute(self, href: str) -> str:
        return href


def device(
    environment: BootEnv,
    booted: str = "A",
    boot_id: str = "boot-1",
    *,
    bootnames: Sequence[str] = "AB",
    rescue: str = "",
) -> Device:
    """A device with a slot for each letter, and a rescue system."""
    slots = [
        Slot(name=f"rootfs.{index}", slot_class="rootfs", index=index, device=f"/dev/{name}", type="raw", bootname=name)
        for index, name in enumerate(bootnames)
    ]
    if rescue:
        slots.insert(
            0, Slot("rescue.0", "rescue", 0, "/dev/rescue", "raw", bootname=rescue, readonly=True, rescue=True)
        )
    groups = groups_of(slots)
    running = next(group for group in groups if group.bootname == booted)
    return Device("demo", boot_id, groups, running, environment, {}, "1.0.0")


POLICY = PolicySettings(
    **{row.key.replace("-", "_"): row.kind.accept(row.default, Path("/")) for row in POLICY_SETTINGS}  # type: ignore[arg-type]
)


class Services:
    """A message bus with properties and inhibitors in the hands of a test; nothing is there at first."""

    def __init__(self) -> None:
        self.properties: dict[str, object] = {}
        self.inhibitors: list[tuple[str, str, str, str]] = []

    def call(self, service: str, path: str, interface: str, method: str) -> tuple[Any, ...]:
        assert method == "ListInhibitors"
        return ([(*row, 0, 1) for row in self.inhibitors],)

    def get(self, service: str, path: str, interface: str, name: str) -> Any:
        if name not in self.properties:
            raise BusCallError("org.freedesktop.DBus.Error.ServiceUnknown", service)
        return self.properties[name]


def desk(
    disk: Disk,
    clock: Clock,
    inbox: Inbox,
    *,
    policy: PolicySettings = POLICY,
    boot_id: str = "boot-1",
    services: Services | None = None,
    run_dir: Path = Path("/proc/nowhere"),
    tell: Callable[[Any], None] = lambda _: None,
    audit: Auditor | None = None,
) -> Desk:
    """The real desk of a device, whose notices go nowhere."""
    store: Any = disk
    return Desk(
        clock, inbox, changes=PolicyChanges(policy, 0, store), book=Book(store, clock, boot_id),
        gates=Gates(services or Services(), clock.boottime, Path("/nonexistent")),
        board=Board(run_dir, None, tell), tell=tell, audit=audit or Unrecorded(),
    )  # fmt: skip


def context(disk: Disk, environment: BootEnv, **changes: Any) -> Context:
    """Collaborators that all work, and what a test puts in their place."""
    clock = changes.get("clock") or Clock()
    suite = Suite([changes.pop("probe", Probe())])
    config = SimpleNamespace(
        system=SimpleNamespace(
            state_dir=Path("/nonexistent"),
            clock_epoch=Path("/nonexistent"),
            reboot_command=("true",),
            variant_name="",
            variant_file=None,
        ),
        update=SimpleNamespace(min_version="", allow_downgrade=False, reboot=True, soft="install"),
        server=SimpleNamespace(confirmation="ask", bundle_part="", bundle_name="", report_installed=""),
        health=SimpleNamespace(deadline=20.0, soak=2.0, interval=1.0, check_timeout=5.0, pstore=(), bootstatus=None),
    )
    parts: dict[str, Any] = {
        "config": config,
        "device": changes.get("device") or device(environment),
        "knowledge": Knowledge(disk),  # type: ignore[arg-type]  # the same interface
        "server": Office(),
        "installers": Installers(changes.pop("spawn", lambda _: SimpleNamespace(close=lambda: None))),
        "inbox": Patient(clock),
        "clock": clock,
        "boot_checks": suite,
        "trial_checks": suite,
        "memory": Memory(disk),  # type: ignore[arg-type]  # the same interface
        "notes": TrialNotes(disk, config.health, clock),  # type: ignore[arg-type]  # the same interfaces
        "tell": lambda _: None,
        "reset": lambda _: None,
        "audit": Unrecorded(),
        **changes,
    }
    parts.setdefault("desk", desk(disk, parts["clock"], parts["inbox"], tell=parts["tell"]))
    return Context(**parts)

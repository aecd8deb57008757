"""What is examined: the configuration, and what can be made of it. What cannot be made is a finding, not an end."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent import config as configuration
from agent.clock import Clock, SystemClock
from agent.config import Config
from agent.daemon.device import booted_of, bootloader_of, env_of, slots_of
from agent.daemon.slot_status import Holdings, from_json
from agent.daemon.store import MAX_DOCUMENT
from agent.doctor.finding import Finding, error, failure, ok
from agent.errors import OtaError
from bootloader_env.errors import BootEnvError
from bootloader_env.port import BootEnv
from slots.errors import SlotError
from slots.model import Group, Slot, groups_of


@dataclass(frozen=True, slots=True)
class Places:
    """Where the system tells about itself; tests have places of their own."""

    proc: Path = Path("/proc")
    sysfs: Path = Path("/sys")
    systemd: Path = Path("/run/systemd/system")  # sd_booted(3) looks for exactly this directory
    systemctl: str = "systemctl"
    modules: Path = Path("/lib/modules")
    pstore: Path = Path("/sys/module/pstore/parameters/backend")  # who keeps the records (fs/pstore/platform.c)
    clock: Clock = field(default_factory=SystemClock)


@dataclass(frozen=True, slots=True)
class Subject:
    """A device under examination.

    Attributes:
        config: the configuration.
        groups: of slots; empty when they do not fit together.
        booted: the running group; None when it is not known.
        env: the boot environment; None when it cannot be opened.
        holdings: what the agent knows about its slots.
        places: where the system tells about itself.
        may_write: whether the boot environment may be written for a proof.
    """

    config: Config
    groups: tuple[Group, ...]
    booted: Group | None
    env: BootEnv | None
    holdings: Holdings
    places: Places
    may_write: bool

    @property
    def slots(self) -> list[tuple[Group, Slot]]:
        """Every slot, with the first group that it belongs to."""
        found = {slot: group for group in reversed(self.groups) for slot in reversed(group.slots)}
        return [(group, slot) for slot, group in reversed(found.items())]

    @property
    def fallbacks(self) -> list[tuple[Group, Slot]]:
        """The slots that do not run; none when it is not known which do."""
        if self.booted is None:
            return []
        return [(group, slot) for group, slot in self.slots if slot not in self.booted.slots]

    def document(self, name: str) -> dict[str, object]:
        """A document of the state directory, read without the daemon's lock: it is replaced in one step.

        Raises:
            FileNotFoundError: there is none.
            OSError, ValueError: it cannot be read.
        """
        return read_document(self.config.system.state_dir, name)


def read_document(directory: Path, name: str) -> dict[str, object]:
    """See ``Subject.document``."""
    with (directory / f"{name}.json").open("rb") as file:
        values = json.loads(file.read(MAX_DOCUMENT))
    if not isinstance(values, dict):
        raise ValueError("it is no JSON object")
    return values


def examine(
    files: Sequence[Path] | None, places: Places, *, may_write: bool
) -> tuple[Subject | None, tuple[Finding, ...]]:
    """Reads the configuration and looks at the device; returns what was found on the way.

    Args:
        files: of the configuration; None takes those of the standard places.
        places: where the system tells about itself.
        may_write: whether the boot environment may be written for a proof.
    """
    findings: list[Finding] = []
    config = _configured(files, findings)
    if config is None:
        return None, tuple(findings)
    groups: tuple[Group, ...] = ()
    booted: Group | None = None
    env: BootEnv | None = None
    try:
        groups = groups_of(slots_of(config))
    except SlotError as problem:
        findings.append(failure("config.slots", problem))
    else:
        findings.append(ok("config.slots", f"{len(groups)} groups: {', '.join(group.bootname for group in groups)}"))
        env = _environment(config, groups, findings)
        booted = _booted(config, groups, env, findings)
        if env is not None and booted is not None:
            env = env_of(config, env, booted)
    return Subject(config, groups, booted, env, _holdings(config), places, may_write), tuple(findings)


def _configured(files: Sequence[Path] | None, findings: list[Finding]) -> Config | None:
    try:
        config = configuration.load(files)
    except OtaError as problem:
        if problem.code != "config.token-readable":  # found again when the token is looked at
            findings.append(failure("config.valid", problem))
            return None
        salvaged = configuration.salvage(files)
        if salvaged is None:
            findings.append(error("config.valid", "it cannot be read twice"))
            return None
        config = salvaged
    findings.append(ok("config.valid", ", ".join(str(file) for file in config.files)))
    return config


def _booted(config: Config, groups: tuple[Group, ...], env: BootEnv | None, findings: list[Finding]) -> Group | None:
    try:
        booted = booted_of(config, groups, env)
    except (SlotError, BootEnvError, OtaError) as problem:
        findings.append(failure("slot.booted", problem))
        return None
    findings.append(ok("slot.booted", f"{booted.bootname} is running"))
    return booted


def _environment(config: Config, groups: tuple[Group, ...], findings: list[Finding]) -> BootEnv | None:
    try:
        env = bootloader_of(config, groups)
        env.read()
    except BootEnvError as problem:
        row = "boot.redundant" if problem.code == "bootenv.not-redundant" else "boot.environment"
        findings.append(failure(row, problem))
        return None
    findings.append(ok("boot.environment", f"{config.bootloader.type}: it can be read"))
    return env


def _holdings(config: Config) -> Holdings:
    """What is known of the slots; nothing when that cannot be read, which is found elsewhere."""
    try:
        return from_json(read_document(config.system.state_dir, "slots"))
    except (OSError, ValueError, OtaError):
        return Holdings()

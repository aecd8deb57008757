"""Puts a state of the media on a disk in memory, switches the device on, and lets it come to rest.

Real are the daemon from ``Daemon`` inwards, its store, the boot environment, the installer's writing and reading back, the
boot script, the rules of the server. The rest is ``crash.inline``.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import logging
import os
import pickle
import random
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent import config as settings
from agent.bundle.keyring import load_keyring
from agent.bundle.source import FileSource
from agent.bundle.verify import VerifiedBundle, verify_bundle
from agent.daemon import main as daemon_main
from agent.daemon.machine import State
from agent.daemon.record import Record
from agent.daemon.session import Sessions
from agent.demo import bootscript, factory, grubscript
from agent.demo.bootscript import ATTEMPTS, Flash, Storage
from agent.demo.factory import Timing
from agent.demo.grubscript import GrubBlock
from agent.demo.images import MIB
from agent.health.result import CheckResult, green, red
from agent.health.server import ServerCheck
from agent.health.suite import Suite
from agent.installer import main as installer_main
from crash.alterations import patches
from crash.content import Content
from crash.disk import Disk, Node
from crash.disk import State as DiskState
from crash.inline import Child, Clock, Installer, Office, Patient, Restless
from crash.interpose import Interposer
from crash.record import SIZE, Noted, Recording, names_of, nodes_of

_MAX_BOOTS = 24
_TURNS = 300
_REST = 4.0  # seconds in IDLE: long enough to be marked good and to ask the server
_PATIENCE = 200000.0  # seconds in IDLE while the server waits for something; polls that fail come late
_TIMING = Timing(soak=0.1, interval=0.1)


class Reset(BaseException):
    """The device restarts. Not an Exception: nothing of the daemon may survive it."""


@dataclass(slots=True)
class Ended:
    """What was seen until the device came to rest.

    Attributes:
        running: boot name of the slot that runs.
        boots: the slots that the boot script chose, in order.
        words: the final messages about the action that the device sent, with what was running and on trial then.
        problems: promises that were broken on the way.
        older: whether the system before the one that ran was booted, which is whole until it is written over. What it does is
            not played.
    """

    running: str = ""
    boots: list[str] = field(default_factory=list)
    words: list[tuple[str, str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    older: bool = False
    errors: list[str] = field(default_factory=list)


class Rig:
    """One device that can be put into any state of its media.

    Args:
        recording: whose device it is.
    """

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        shared = Path("/dev/shm")
        self.home = Path(tempfile.mkdtemp(prefix="ota-crash-", dir=shared if shared.is_dir() else None))
        for name in ("run", "slots"):
            (self.home / name).mkdir()
        self.grub = recording.scenario.bootloader != "uboot"
        self.slots = {name: self.home / path for name, path in recording.slots.items()}
        full = {"BOOT_ORDER": " ".join(self.slots), **{f"BOOT_{name}_LEFT": f"{ATTEMPTS:x}" for name in self.slots}}
        self._bare = GrubBlock(self.home / "grubenv") if self.grub else Flash(self.home / "uboot.env", full)
        self.flash: Storage = self._bare
        self.choose = grubscript.choose if self.grub else bootscript.choose
        self._configure()
        self._installer = Installer(self._verified())
        self._slots_hold: dict[str, bytes] = {}
        self._digests: dict[str, tuple[int, str]] = {}
        self.office: Office | None = None
        self.base: dict[int, Node] = {}
        self.interposer = Interposer(self.home, names_of({0: Node()}, frozenset({0})))

    def close(self) -> None:
        """Removes the disk."""
        shutil.rmtree(self.home, ignore_errors=True)

    def _configure(self) -> None:
        source = self.recording.directory
        shutil.copytree(source / "pki", self.home / "pki")
        shutil.copytree(source / "tls", self.home / "tls")
        shutil.copy(source / "token", self.home / "token")
        self.token = (source / "token").read_text().strip()
        if not self.grub:
            factory.make_environment(self.home, self._bare)
        overrides = {"bootloader.type": "grub" if self.grub else "uboot", "health.commands": [], "fetcher.user": ""}
        factory.write_config(self.home, self.slots, "https://127.0.0.1:1", _TIMING, overrides)
        (self.home / "run" / "boot-id").write_text("0\n")
        (self.home / "run" / "os-release").write_text("")
        (self.home / "run" / "cmdline").write_text("")
        self.config = settings.load([self.home / "device.toml"])
        self._session = Sessions(self.config, lambda: 0.0)()

    def _verified(self) -> VerifiedBundle:
        fd = os.open(self.recording.bundle, os.O_RDONLY | os.O_CLOEXEC)
        keyring = load_keyring(str(self.home / self.config.keyring.path), "codesign")
        return verify_bundle(FileSource(fd), keyring, datetime.datetime.now(datetime.UTC))

    # The disk.

    def put(self, state: DiskState) -> None:
        """Makes the disk hold this state, and nothing else."""
        shutil.rmtree(self.home / "state", ignore_errors=True)
        for name in ("uboot.env", "grubenv", ".grubenv.new"):
            with suppress(FileNotFoundError):
                (self.home / name).unlink()
        for name, content in state.items():
            path = self.home / name
            if name.startswith("slots/"):
                self._put_slot(path, name, content)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.data())
        self.base, directories = nodes_of(state)
        self.interposer = Interposer(self.home, names_of(self.base, directories))

    def _put_slot(self, path: Path, name: str, content: Content) -> None:
        mark = content.fingerprint()
        if self._slots_hold.get(name) == mark and not self.interposer.written[name]:
            return
        with path.open("wb") as file:
            file.truncate(content.size)
            for at, piece in content.pieces():
                os.pwrite(file.fileno(), piece, at)
        self._slots_hold[name] = mark
        self._digests.pop(name, None)

    def recorded(self) -> Disk:
        """The disk as it was put, for what the interposer has recorded since."""
        return Disk(self.base, self.interposer.directories()).copy()

    def digest(self, bootname: str) -> str:
        """SHA-256 of the image that a slot holds."""
        name = self.recording.slots[bootname]
        version = self.interposer.written[name]
        known = self._digests.get(name)
        if known is None or known[0] != version:
            with (self.home / name).open("rb") as file:
                known = version, hashlib.sha256(file.read(SIZE * MIB)).hexdigest()
            self._digests[name] = known
        return known[1]

    def document(self, name: str) -> Mapping[str, object]:
        """A document of the daemon's state directory."""
        try:
            values = json.loads((self.home / "state" / f"{name}.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return values if isinstance(values, dict) else {}

    # The device.

    def live(self, server: bytes, seed: int, life: int = 1, offline: int = 0) -> Ended:
        """Switches the device on and lets it come to rest.

        Args:
            server: what the server knows, pickled.
            seed: of everything random.
            life: how often it was switched on before; no boot may have the id of an earlier one.
            offline: how many requests to the server fail before the network is there.
        """
        random.seed(seed)
        self._life = life
        self.ended = ended = Ended()
        self.office = Office(pickle.loads(server), self.token, self._heard, self.interposer.tell, offline)
        self.clock = Clock(1_800_000_000.0)
        self.flash = Noted(self._bare, self.interposer.save)
        with self.interposer.recording(), self._altered():
            while len(ended.boots) < _MAX_BOOTS:
                bootname = self._boot()
                if not bootname:
                    if not ended.older:
                        ended.problems.append("no slot boots")
                    return ended
                if self._start(bootname):
                    ended.running = bootname
                    return ended
        ended.problems.append(f"it restarts for ever: {' '.join(ended.boots)}")
        return ended

    def _boot(self) -> str:
        """The boot script chooses until something starts; returns its boot name, or nothing."""
        recording = self.recording
        while len(self.ended.boots) < _MAX_BOOTS:
            choice = self.choose(self.flash.load().variables, tuple(self.slots))
            if choice is None:
                return ""
            self.flash.save(choice.variables)
            self.ended.boots.append(choice.bootname)
            found = self.digest(choice.bootname)
            if recording.scenario.again and found == recording.before:
                self.ended.older = True
                return ""
            if found not in (recording.old.sha256, recording.new.sha256):
                self.ended.problems.append(f"slot {choice.bootname} was booted, which holds no whole system")
                return ""
            if found == recording.old.sha256 or recording.scenario.system != "dead":
                return choice.bootname
        return ""

    def _start(self, bootname: str) -> bool:
        """The service manager starts the daemon; returns whether it came to rest (else the device restarts)."""
        self.clock.boot()
        self.booted = bootname
        new = self.digest(bootname) == self.recording.new.sha256
        version = self.recording.new.version if new else self.recording.old.version
        self._sick = new and self.recording.scenario.system == "sick"
        run = self.home / "run"
        (run / "os-release").write_text(f"VERSION_ID={version}\n")
        (run / "boot-id").write_text(f"boot-{self._life}-{len(self.ended.boots)}\n")
        (run / "cmdline").write_text(f"root={self.slots[bootname]} ro rauc.slot={bootname}\n")
        self._turns, self._idle_since = 0, self.clock.boottime()
        self._state = State.IDLE
        daemon = None
        try:
            daemon = daemon_main.Daemon(self.config, clock=self.clock, spawn=self._spawn, observe=self._entered)
            daemon._runner.run()
        except Reset:
            return False
        except Restless as error:
            self.ended.problems.append(f"it does not come to rest: {error}, in {self._state.value}")
        except Exception as error:  # noqa: BLE001  whatever it is, it is a finding
            self.ended.problems.append(f"the daemon ended: {type(error).__name__}: {error}")
        finally:
            if daemon is not None:
                daemon._store.close()
        return True

    def _spawn(self, kind: str) -> Any:
        assert self.office is not None
        return Child(kind, self.office.fetcher if kind == "fetcher" else self._installer.answer)

    def _entered(self, record: Record) -> None:
        self._state, self._idle_since = record.state, self.clock.boottime()
        self._turns += 1
        if record.reason is not None and record.reason.code not in self.ended.errors:
            self.ended.errors.append(record.reason.code)
        if self._turns > _TURNS:
            raise Restless("it takes turn after turn")

    def _rests(self) -> bool:
        if self._state is not State.IDLE:
            return False
        office = self.office
        closed = office is not None and not office.offline and not office.state.open_actions(factory.CONTROLLER)
        rested = self.clock.boottime() - self._idle_since
        return rested > _PATIENCE or (closed and rested > _REST and not self.document("outbox").get("entries"))

    def _heard(self, path: str, body: bytes) -> None:
        status = json.loads(body)["status"]
        if status["execution"] == "closed":
            word = f"{path.split('/')[-3]} {status['result']['finished']}"
            variables = self.flash.load().variables
            self.ended.words.append((word, self.booted, variables.get("OTA_TRIAL", "")))

    def _suite(self, _config: object, _bus: object, _prober: object, contact: Any, **_: object) -> Suite:
        checks: list[Any] = [_Probe(self)]
        return Suite([*checks, ServerCheck(contact)] if contact else checks)

    @contextmanager
    def _altered(self) -> Iterator[None]:
        scenario = self.recording.scenario
        names = [*(["fat"] if scenario.bootloader == "fat" else []), *scenario.altered]
        mine = [
            (daemon_main, "Inbox", lambda: Patient(self.clock, self._rests)),
            (daemon_main, "choose", self._suite),
            (daemon_main, "Restart", lambda *_, **__: _reset),
            (daemon_main, "Sessions", lambda *_, **__: lambda: self._session),
            (installer_main, "_open", lambda *_: self._installer.bundle),
            *patches(names),
        ]
        before = [(place, name, getattr(place, name)) for place, name, _ in mine]
        logging.disable(logging.CRITICAL)
        try:
            for place, name, value in mine:
                setattr(place, name, value)
            yield
        finally:
            for place, name, value in reversed(before):
                setattr(place, name, value)
            logging.disable(logging.NOTSET)


@dataclass(frozen=True, slots=True)
class _Probe:
    """The health check of the system that runs."""

    rig: Rig
    name: str = "probe"

    def run(self) -> CheckResult:
        return red(self.name, "told to fail") if self.rig._sick else green(self.name)


def _reset(_argument: str) -> None:
    raise Reset

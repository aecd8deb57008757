"""A whole device: a container with two slots and a boot environment, a server, and the harness as its bootloader.

What a reset does is played here: the project's boot script chooses a slot from the environment, the slot is mounted, and the
container starts again with the slot as the top of its root. Everything else is real.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

from pki.build import shared_pki

from agent.demo import bootscript
from agent.demo.bootscript import ATTEMPTS, COPY_SIZE, Flash
from agent.demo.server import DevServer
from agent.demo.server_tls import make_tls
from support.disks import loop, mounted
from support.nspawn.image import write
from support.nspawn.machine import REBOOT, Machine
from support.nspawn.network import Network
from support.nspawn.system import COMPATIBLE, SLOT_SIZE, Image, System

_T = TypeVar("_T")
CONTROLLER = "board-1"
BOOTNAMES = ("A", "B")
_MOST_BOOTS = 16  # in a row that lead nowhere
_ENDED = ("FINISHED", "ERROR", "CANCELED", "DOWNLOADED")


class Device:
    """The device, switched off.

    Args:
        directory: a new one in ``image.room``.
        base: from ``image.make_base``.
        system: what is in slot A.
        settings: ``"section.key"`` and value, in place of those of ``_settings``.
        files: what is in the root at every boot, whichever slot it is.
        poll: how often the server wants to be asked, ``HH:MM:SS``.
    """

    def __init__(
        self,
        directory: Path,
        base: Path,
        system: System | None = None,
        *,
        settings: Mapping[str, object] | None = None,
        files: Mapping[str, str] | None = None,
        poll: str = "01:00:00",
    ) -> None:
        self.directory, self._stack = directory, ExitStack()
        self._files = dict(files or {})
        self.booted, self.boots = "", 0
        self.started: list[str] = []
        self.images: dict[str, Image] = {}  # by version, of what is in a bundle
        for name in ("etc", "state", "boot", "bundles", "slot"):
            (directory / name).mkdir(parents=True)
        try:
            self.network = Network()
            self._stack.callback(self.network.close)
            self.slots = {name: self._slot(name) for name in BOOTNAMES}
            (system or System("1.0.0")).image(directory / "slot-a")
            with (directory / "slot-a").open("r+b") as file:
                file.truncate(SLOT_SIZE)
            self.flash = Flash(directory / "boot/uboot.env", {})
            left = {"BOOT_A_LEFT": f"{ATTEMPTS:x}", "BOOT_B_LEFT": "0"}
            self.flash.format({"BOOT_ORDER": "A B", **left})
            self.server = self._server(poll)
            self._configure(settings or {})
            self.machine = Machine(directory / "machine", base, network=self.network.path, binds=self._binds())
        except BaseException:
            self._stack.close()
            raise
        self._running = ExitStack()  # what belongs to the present boot

    def _slot(self, name: str) -> str:
        file = self.directory / f"slot-{name.lower()}"
        with file.open("wb") as empty:
            empty.truncate(SLOT_SIZE)
        return self._stack.enter_context(loop(file))

    def _server(self, poll: str) -> DevServer:
        tls = make_tls(self.directory / "tls")
        token = secrets.token_hex(16)
        write(self.directory / "etc/target.token", token + "\n", 0o600)
        write(self.directory / "etc/server-ca.pem", tls.ca_pem)
        with self.network.inside():
            server = DevServer(cert=tls.cert, key=tls.key, sleep=poll)
        server.add_target(CONTROLLER, token)
        return self._stack.enter_context(server)

    def _configure(self, settings: Mapping[str, object]) -> None:
        home = self.directory / "etc"
        shared_pki().keyring(home).rename(home / "ca.pem")
        (home / "ota-agent.toml").write_text(toml({**_settings(self.server.url), **settings}))

    def _binds(self) -> dict[str, Path]:
        return {
            "-/etc/ota-agent": self.directory / "etc",
            "/var/lib/ota-agent": self.directory / "state",
            "/boot": self.directory / "boot",
            **{f"/dev/slot-{name.lower()}": Path(node) for name, node in self.slots.items()},
        }

    def power_on(self, *, wait: bool = True) -> None:
        """The boot script tries until a slot holds a system, and that is started.

        Args:
            wait: until all that the default target wants has started.
        """
        for _ in range(_MOST_BOOTS):
            choice = bootscript.choose(self.flash.load().variables, BOOTNAMES)
            assert choice is not None, "no slot boots"
            self.flash.save(choice.variables)
            self.started.append(choice.bootname)
            if self._start(choice.bootname, wait=wait):
                return
        raise AssertionError(f"no slot boots: {' '.join(self.started)}")

    def _start(self, bootname: str, *, wait: bool) -> bool:
        where = self.directory / "slot"
        try:
            self._running.enter_context(mounted(self.slots[bootname], where, "-o", "ro", "-t", "ext4"))
        except OSError:
            return False
        if not (where / "boot/vmlinuz").exists():
            self._running.close()
            return False
        node = f"/dev/slot-{bootname.lower()}"
        copies = (f"/boot/uboot.env {offset:#x} {COPY_SIZE:#x}\n" for offset in (0, COPY_SIZE))
        files = {
            **self._files,
            "etc/board/cmdline": f"console=ttyS0 root={node} ro ota.slot={bootname}\n",
            # A service with ProtectProc= sees a new /proc, and in it the boot id of the host.
            "etc/board/boot-id": f"{uuid.uuid4()}\n",
            "etc/fw_env.config": "".join(copies),
        }
        self.booted = bootname
        self.machine.start([where], files, wait=wait)
        return True

    def cut(self) -> None:
        """The power fails."""
        self.machine.cut()
        self._running.close()

    def close(self) -> None:
        """Switches everything off."""
        self.cut()
        self._stack.close()

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def tick(self) -> None:
        """Does what the hardware does by itself: a device that has asked for a reset boots again."""
        status = self.machine.ended()
        if status is None:
            time.sleep(0.02)
            return
        self._running.close()
        assert status == REBOOT, f"the device has ended with {status}"
        self.power_on(wait=False)

    def wait_for(self, wanted: Callable[[], _T], what: str) -> _T:
        """Lets the device live until something has happened; returns what ``wanted`` gave."""
        return self.machine.until(wanted, what, self.tick)

    def bundle(self, system: System) -> Path:
        """Makes a bundle."""
        bundle, self.images[system.version] = system.packed(self.directory / "bundles")
        return bundle

    def deploy(self, system: System) -> str:
        """Publishes an update, gives it to the device and lets it ask at once; returns the id of the action."""
        module = self.server.upload(self.bundle(system), version=system.version)
        action = self.server.assign(CONTROLLER, module)
        self.machine.run("systemctl", "reload", "ota-agent.service")
        return action

    def wait_ended(self, action: str) -> str:
        """Lets the device live until the server has closed the action; returns the status."""
        return self.wait_for(lambda: self._status(action), f"action {action} ends")

    def _status(self, action: str) -> str:
        status = self.server.action_status(action)
        return status if status in _ENDED else ""

    def wait_state(self, *states: str) -> str:
        """Lets the device live until its record is in one of these states; returns which."""
        return self.wait_for(lambda: self.state if self.state in states else "", f"the state is {states}")

    def messages(self, action: str) -> str:
        """All that the device has told about an action."""
        return "\n".join(line for entry in self.server.history(action) for line in entry.messages)

    @property
    def state(self) -> str:
        """The state in the daemon's record; a daemon that has none yet is idle."""
        return str(self.document("record").get("state", "idle"))

    def document(self, name: str) -> Mapping[str, Any]:
        """A document of the state directory; empty before it is there."""
        try:
            return dict(json.loads((self.directory / "state" / f"{name}.json").read_bytes()))
        except OSError:
            return {}

    def slot_holds(self, bootname: str, version: str) -> bool:
        """Whether a slot that does not run holds the whole of a version of which there is a bundle."""
        wanted = self.images[version]
        with open(self.slots[bootname], "rb") as slot:
            return hashlib.sha256(slot.read(wanted.size)).hexdigest() == wanted.sha256

    @property
    def version(self) -> str:
        """What runs."""
        lines = self.machine.run("cat", "/etc/os-release").splitlines()
        return next(line.partition("=")[2] for line in lines if line.startswith("VERSION_ID="))

    @property
    def variables(self) -> Mapping[str, str]:
        """The boot environment."""
        return self.flash.load().variables


def _settings(url: str) -> dict[str, object]:
    slots = {
        f"slot.rootfs.{number}.{key}": value
        for number, name in enumerate(BOOTNAMES)
        for key, value in (("device", f"/dev/slot-{name.lower()}"), ("type", "ext4"), ("bootname", name))
    }
    return {
        "system.compatible": COMPATIBLE,
        "system.cmdline": "/etc/board/cmdline",
        "system.boot-id": "/etc/board/boot-id",
        "keyring.path": "ca.pem",
        "update.retry-delay": 0.2,
        "server.url": url,
        "server.controller-id": CONTROLLER,
        "server.target-token-file": "target.token",
        "server.ca-file": "server-ca.pem",
        "server.poll-min": 1,
        "server.poll-first-delay": 0,
        "server.poll-splay": False,
        "server.check-interval": 0,
        "fetcher.user": "ota-fetcher",
        "bootloader.type": "uboot",
        "health.deadline": 30,
        "health.soak": 0.5,
        "health.interval": 0.1,
        **slots,
    }


def toml(values: Mapping[str, object]) -> str:
    """A TOML document of ``"section.key"`` and value."""
    sections: dict[str, list[str]] = {}
    for name, value in values.items():
        section, _, key = name.rpartition(".")
        sections.setdefault(section, []).append(f"{key} = {json.dumps(value, ensure_ascii=False)}\n")
    return "\n".join(f"[{section}]\n" + "".join(lines) for section, lines in sections.items())

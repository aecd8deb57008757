"""A whole device: a board in a virtual machine, its two systems, and a server on the host that it is updated from."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from typing import Any, TypeVar

from pki.build import shared_pki
from support.nspawn.device import toml

from agent.demo.server import DevServer
from agent.demo.server_tls import make_tls
from boot.lab.boards import LABELS, Board
from boot.lab.evidence import Life, keep
from boot.lab.root_files import FACTORY
from boot.lab.system import COMPATIBLE, Image, System, slot_image
from boot.lab.vm import VM, Unheard, blocks

_T = TypeVar("_T")
CONTROLLER = "board-1"
_AGENT = "org.otaagent.Agent1 /org/otaagent/Agent1 org.otaagent.Agent1.Manager"
HOST = "10.0.2.2"  # the loopback interface of the host, as QEMU's user network shows it to the guest
HEALTH = "usr/lib/ota-agent/health.toml"  # in each system, so that one can have less patience with itself
# An emulated device on a busy host is slow.
_HEALTH = "[health]\ndeadline = 240\nsoak = 1\ninterval = 0.5\n"
_ENDED = ("FINISHED", "ERROR", "CANCELED", "DOWNLOADED")
_MOST_BOOTS = 24  # of a device; more than any way back takes
_PATIENCE = 900.0  # seconds; a boot takes some forty of a processor, and there may be many that want one
_STARTED = """\
while state=$(systemctl is-active ota-agent.service); test "$state" != active; do
    if test "$state" = failed; then systemctl status --no-pager --full ota-agent.service; exit 1; fi
    sleep 5
done"""
_PAUSE = 0.3  # seconds between two looks, so that what is looked at has the processor meanwhile
# UEFI's terminal changes colours in the middle of lines.
_BOOTING = re.compile(
    r"^(?:\x1b\[[\d;]*m)*OTA: (?:booting slot|no slot boots, starting the rescue system) (\w+)", re.MULTILINE
)


class Device:
    """The device, switched off.

    Args:
        directory: a new one.
        board: what it is.
        system: what is in slot A.
        other: what the factory has put into slot B; nothing if None.
        rescue: what is in the partition of the rescue system; the board must know of it.
        settings: ``"section.key"`` and value, in place of those of ``_image_settings`` and ``_own_settings``.
        secrets: name and content of files that the factory gives it beside its settings; only root may read them.
        poll: how often the server wants to be asked, ``HH:MM:SS``.
        form: ``qcow2`` puts an overlay over each disk, so that the machine can be saved (``VM.snapshot``).
        below: by disk: what lies under it, see ``vm.blocks``.
        more: for QEMU.
    """

    def __init__(
        self,
        directory: Path,
        board: Board,
        system: System | None = None,
        *,
        other: System | None = None,
        rescue: System | None = None,
        settings: Mapping[str, object] | None = None,
        secrets: Mapping[str, bytes] | None = None,
        poll: str = "01:00:00",
        form: str = "raw",
        below: Mapping[str, Sequence[str]] | None = None,
        more: Sequence[str] = (),
    ) -> None:
        self.directory, self.board, self._form = directory, board, form
        self.images: dict[str, Image] = {}  # by version, of what is in a bundle
        self._actions: list[str] = []
        self._stack, self._heard = ExitStack(), -1
        for name in ("factory", "bundles", "raw"):
            (directory / name).mkdir(parents=True)
        try:
            self.server = self._server(poll)
            self._equip(settings or {}, secrets or {})
            self._make_disks({"A": system or System("1.0.0"), "B": other, "R": rescue})
            self.vm = self._stack.enter_context(
                VM(directory / "vm", [*board.command(), *more, *self._drives(below or {})])
            )
        except BaseException:
            self._stack.close()
            raise

    def fitted(self, system: System) -> System:
        """A system with what each one for this board has."""
        common = {
            **self.board.files,
            "etc/ota-agent/ota-agent.toml": toml(_image_settings(self.board)),
            HEALTH: _HEALTH,
        }
        return replace(system, arch=self.board.arch, files={**common, **system.files})

    def _server(self, poll: str) -> DevServer:
        tls = make_tls(self.directory / "tls", (HOST,))
        server = DevServer(cert=tls.cert, key=tls.key, sleep=poll, name=HOST)
        token = token_hex(16)
        server.add_target(CONTROLLER, token)
        (self.directory / "factory/target.token").write_text(token + "\n")
        (self.directory / "factory/target.token").chmod(0o600)
        (self.directory / "factory/server-ca.pem").write_text(tls.ca_pem)
        return self._stack.enter_context(server)

    def _equip(self, settings: Mapping[str, object], secrets: Mapping[str, bytes]) -> None:
        """What the factory gives this one: whom it trusts, and who it is."""
        factory = self.directory / "factory"
        for name, content in secrets.items():
            (factory / name).write_bytes(content)
            (factory / name).chmod(0o600)
        shared_pki().keyring(factory).rename(factory / "ca.pem")
        (factory / "board.toml").write_text(toml({**_own_settings(self.server.url), **settings}))

    def _make_disks(self, systems: Mapping[str, System | None]) -> None:
        data = self.directory / "data"
        data.mkdir()
        (self.directory / "factory").rename(data / Path(FACTORY).name)
        filled = {LABELS[name]: slot_image(self.fitted(each)) for name, each in systems.items() if each is not None}
        self.board.make(self.directory, {**filled, "data": data})

    def _drives(self, below: Mapping[str, Sequence[str]]) -> list[str]:
        words = list[str]()
        for name in self.board.images:
            path = self.directory / f"{name}.img"
            if self._form == "qcow2":
                path = path.with_suffix(".qcow2")
                backing = ["-F", "raw", "-b", f"{name}.img"]
                subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *backing, path], check=True)
            words += blocks(path, name, form=self._form, below=below.get(name, ()))
        return words

    def power_on(self, *more: str, wait: bool = True) -> None:
        """Switches it on.

        Args:
            more: for QEMU, at this start alone.
            wait: until the agent has started.
        """
        self.vm.start(*more)
        if wait:
            self.up()

    def up(self) -> None:
        """Waits until the agent of the system that boots has started."""
        # Whoever asks from outside again and again makes the boot slower.
        self.run(_STARTED)

    def _attend(self) -> None:
        if self._heard != self.vm.resets:
            resets = self.vm.resets
            self.vm.shell.wait(_PATIENCE)
            self._heard = resets

    def cut(self) -> None:
        """The power fails."""
        self.vm.cut()
        self._heard = -1

    def close(self) -> None:
        """Switches everything off."""
        try:
            keep(self.life)
        finally:
            self.cut()
            self._stack.close()

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, command: str) -> tuple[int, str]:
        """Runs a command in it as root, outside of all services, when it has booted so far; see ``Shell.ask``.

        A command that a reset has ended runs again in the next system, so it must only look, or be allowed to happen twice.
        """
        while True:
            self._attend()
            before = self.vm.resets
            try:
                return self.vm.shell.ask(command, _PATIENCE)
            except Unheard:
                if not self.vm.powered or self.vm.resets == before:
                    raise

    def run(self, command: str) -> str:
        """As ``ask``, and it must succeed; returns what it has written."""
        status, text = self.ask(command)
        assert status == 0, f"{command}: {status} {text}"
        return text

    def busctl(self, *arguments: str) -> Any:
        """Asks the agent over D-Bus: ``get-property``, ``call`` and what else busctl(1) knows; returns the values."""
        verb, *rest = arguments
        return json.loads(self.run(f"busctl --json=short {verb} {_AGENT} {' '.join(rest)}"))["data"]

    def install(self, path: str) -> None:
        """Gives the agent the bundle in a file of the device."""
        self.run(f"busctl call {_AGENT} Install s {path}")

    def journal(self, *matches: str) -> list[dict[str, Any]]:
        """Entries of all boots, oldest first; arguments as for journalctl(1)."""
        lines = self.run(f"journalctl --output=json --all --quiet {' '.join(matches)}").splitlines()
        return [json.loads(line) for line in lines]

    def wait_for(self, wanted: Callable[[], _T], what: str, seconds: float = _PATIENCE) -> _T:
        """Lets the device live until something has happened; returns what ``wanted`` gave.

        Raises:
            Unheard: it did not, or the device does nothing but boot.
        """

        def looked() -> _T:
            time.sleep(_PAUSE)
            assert len(self.started) <= _MOST_BOOTS, f"the device boots for ever: {self.started}"
            return wanted()

        return self.vm.until(looked, what, seconds)

    def bundle(self, system: System, **options: Any) -> Path:
        """Makes a bundle; options as for ``make_bundle``."""
        bundle, self.images[system.version] = self.fitted(system).packed(self.directory / "bundles", **options)
        return bundle

    def publish(self, bundle: Path, version: str) -> str:
        """Gives the device an update; returns the id of the action."""
        self._actions.append(self.server.assign(CONTROLLER, self.server.upload(bundle, version=version)))
        return self._actions[-1]

    def deploy(self, system: System, **options: Any) -> str:
        """Publishes an update, gives it to the device and lets it ask at once; returns the id of the action."""
        action = self.publish(self.bundle(system, **options), system.version)
        self.run("systemctl reload ota-agent.service")
        return action

    def wait_ended(self, action: str) -> str:
        """Lets the device live until the server has closed the action; returns the status."""
        status = ""

        def ended() -> bool:
            nonlocal status
            status = self.server.action_status(action)
            return status in _ENDED

        try:
            self.wait_for(ended, f"action {action} ends", 4 * _PATIENCE)
        except Unheard as error:
            raise Unheard(f"{error}\nstarted: {self.started}\ntold: {self.messages(action)}") from error
        return status

    def wait_state(self, *states: str) -> str:
        """Lets the device live until its record is in one of these states; returns which."""
        return self.wait_for(lambda: self.state if self.state in states else "", f"the state is {states}")

    def wait_started(self, *bootnames: str) -> None:
        """Lets the device live until the bootloader has started these slots since it was made, in this order."""
        self.wait_for(
            lambda: self.started[: len(bootnames)] == list(bootnames), f"starts of {bootnames}: {self.started}"
        )

    def messages(self, action: str) -> str:
        """All that the device has told about an action."""
        return "\n".join(line for entry in self.server.history(action) for line in entry.messages)

    @property
    def life(self) -> Life:
        """All that has happened to it so far."""
        console = self.vm.console
        boots = [(console.when(match.end()), match[1]) for match in _BOOTING.finditer(console.text)]
        entries = [entry for action in self._actions for entry in self.server.history(action)]
        told = [(entry.reported / 1000, entry.type, "; ".join(entry.messages)) for entry in entries]
        return Life(self.board.name, os.getpid(), time.time(), self.vm.cpu_seconds, boots, self.vm.power, told)

    @property
    def started(self) -> list[str]:
        """What the bootloader has started, as it said."""
        return _BOOTING.findall(self.vm.console.text)

    @property
    def state(self) -> str:
        """The state in the daemon's record; a daemon that has none yet is idle."""
        return str(self.document("record").get("state", "idle"))

    def document(self, name: str) -> Mapping[str, Any]:
        """A document of the state directory; empty before it is there."""
        status, text = self.ask(f"cat /var/lib/ota-agent/{name}.json")
        return dict(json.loads(text)) if status == 0 else {}

    @property
    def version(self) -> str:
        """What runs."""
        return self.run(". /etc/os-release; echo $VERSION_ID")

    @property
    def variables(self) -> Mapping[str, str]:
        """The boot environment, read off the disk."""
        return self.board.variables(self._raw())

    def slot_holds(self, bootname: str, version: str) -> bool:
        """Whether a slot holds the whole of a version of which there is a bundle."""
        wanted, layout = self.images[version], self.board.layout
        with (self._raw() / "disk.img").open("rb") as disk:
            disk.seek(layout.offset(LABELS[bootname]))
            return hashlib.sha256(disk.read(wanted.size)).hexdigest() == wanted.sha256

    def _raw(self) -> Path:
        """A directory with the disks as they are now."""
        if self._form == "raw":
            return self.directory
        for name in self.board.images:
            command = ["qemu-img", "convert", "-U", "-O", "raw", self.directory / f"{name}.qcow2"]
            subprocess.run([*command, self.directory / f"raw/{name}.img"], check=True)
        return self.directory / "raw"


def _image_settings(board: Board) -> dict[str, object]:
    """Those in each system."""
    slots = {
        f"slot.rootfs.{number}.{key}": value
        for number, name in enumerate(("A", "B"))
        for key, value in (("device", f"partlabel:{LABELS[name]}"), ("type", "ext4"), ("bootname", name))
    }
    return {"system.compatible": COMPATIBLE, "keyring.path": f"{FACTORY}/ca.pem", **board.settings, **slots}


def _own_settings(url: str) -> dict[str, object]:
    """Those of one device."""
    return {
        "server.url": url,
        "server.controller-id": CONTROLLER,
        "server.target-token-file": f"{FACTORY}/target.token",
        "server.ca-file": f"{FACTORY}/server-ca.pem",
        "server.poll-min": 1,
        "server.poll-first-delay": 0,
        "server.poll-splay": False,
        "server.check-interval": 0,
        "update.retry-delay": 0.5,
    }

"""A device, a server and an operator in one folder: what the demo plays on, and tests too.

Everything happens in ``tick``: the board does what hardware does, and whatever is new is told to the listener. Nothing
runs behind the caller's back but the device's own processes and the server's threads.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from agent.bundler.build import create
from agent.bundler.content import read_directory
from agent.bundler.key_pem import PemSigner
from agent.demo import factory, images, tools
from agent.demo.bootlogic import ATTEMPTS
from agent.demo.bootscript import Script
from agent.demo.bootsim import Board, Boot, Bootloader
from agent.demo.bus import PrivateBus, properties
from agent.demo.factory import CONTROLLER, Timing
from agent.demo.news import Event, News
from agent.demo.server import DevServer
from agent.demo.server_tls import make_tls
from agent.demo.server_values import Entry, Module
from agent.errors import EnvironmentFault

_T = TypeVar("_T")
_PAUSE = 0.005  # seconds between two looks at the record: some states are left within 20 ms
_LOOK = 0.1  # seconds between two looks at how far the installer is
FACTORY_VERSION = "1.0.0"


@dataclass(frozen=True, slots=True)
class Published:
    """A bundle on the server: what is in it, and what a slot must hold after it was installed."""

    version: str
    module: Module
    bundle: Path
    size: int
    image_size: int
    image_sha256: str


class World:
    """Builds everything; ``with`` switches it on, and off at the end.

    Args:
        directory: an empty folder, or one of an earlier demo, which is emptied.
        size: MiB of a root file system.
        timing: the device's patience.
        overrides: of settings in ``device.toml``, for example ``{"update.allow-downgrade": True}``.
        bootloader: of the board.
        script: which boot script it runs.
        bootnames: of its slots; with ``factory.RESCUE`` among them it has a rescue system.
        bus: gives the device a message bus of its own; without it the device serves no D-Bus.
        listen: told what happens.
        progress: told how many bytes of an image are in its slot, and how many it has, while one is written.

    Raises:
        ConfigError: ``demo.folder``.
        EnvironmentFault: ``demo.tool-missing``, ``demo.tool-failed``.
    """

    def __init__(
        self,
        directory: Path,
        *,
        size: int = 24,
        timing: Timing | None = None,
        overrides: Mapping[str, object] | None = None,
        bootloader: Bootloader = "uboot",
        script: Script = "ota",
        bootnames: Sequence[str] = factory.BOOTNAMES,
        bus: bool = False,
        listen: Callable[[Event], None] = lambda _: None,
        progress: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> None:
        tools.require()
        self.directory = directory.absolute()
        self.size = size
        self._lock: int | None = factory.claim(self.directory)
        self.keys = factory.make_keys(self.directory)
        first = images.make_image(self.directory / "images" / "factory.img", images.RootFs(FACTORY_VERSION, size))
        slots = factory.make_disk(self.directory, first, size, bootnames)
        first.unlink()
        tls = make_tls(self.directory / "tls")
        token = factory.make_token(self.directory)
        self.server = DevServer(cert=tls.cert, key=tls.key, sleep="00:00:01")
        self.server.add_target(CONTROLLER, token)
        self._news = News(listen)
        self._progress = progress
        self._writer = (0, 0)  # process id of an installer, and where in the image it began
        self._look_again = 0.0
        rescue = factory.RESCUE if factory.RESCUE in bootnames else ""
        self.board = Board(
            self.directory, slots, lambda text: self._news.tell("board", text), bootloader, script, rescue
        )
        factory.make_environment(self.directory, self.board.flash, self.board.bootnames)
        self._slots, self._timing = slots, timing or Timing()
        # One attempt, as RAUC's script for GRUB has it: then nothing but RAUC's variables is in the environment.
        one = {"bootloader.boot-attempts": 1, "bootloader.boot-attempts-primary": 1} if bootloader == "grub" else {}
        self._overrides, self._wants_bus = {"bootloader.type": bootloader, **one, **(overrides or {})}, bus
        self._bus: PrivateBus | None = None

    def __enter__(self) -> World:
        try:
            self._bus = PrivateBus(self.directory) if self._wants_bus else None
            settings = {"system.bus": self.bus or "none", **self._overrides}
            factory.write_config(self.directory, self._slots, self.server.url, self._timing, settings)
            self.server.start()
            self.board.power_on()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Cuts the power, ends the server and the bus, and gives the folder free."""
        self.board.power_cut()
        self.server.stop()
        if self._bus is not None:
            self._bus.stop()
            self._bus = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _watch_writer(self) -> None:
        if self.state != "staging":
            return
        pid, written = self.board.written()
        if pid and pid != self._writer[0]:
            self._writer = (pid, self.checkpoint)
        if pid:
            total = self.size * images.MIB
            self._progress(min(self._writer[1] + written, total), total)

    def publish(
        self,
        version: str,
        *,
        sick: str = "",
        bootable: bool = True,
        signer: str = "vendor",
        mutate: Callable[[Path], None] | None = None,
        cra: Mapping[str, str] | None = None,
    ) -> Published:
        """Builds a root file system and a signed bundle of it, and uploads the bundle.

        Args:
            version: of the root file system and the bundle.
            sick: why the new system's health check fails; empty for a healthy one.
            bootable: False makes a system that cannot start at all.
            signer: ``vendor``, whom the device trusts, or ``stranger``.
            mutate: may damage the bundle before it is uploaded.
            cra: keys of ``[meta.cra]``, which tells people what the update is about.
        """
        content = self.directory / "images" / version
        content.mkdir()
        image = images.make_image(content / "rootfs.img", images.RootFs(version, self.size, sick, bootable))
        about = "".join(f"{key}={value}\n" for key, value in (cra or {}).items())
        (content / "manifest.raucm").write_text(
            f"[update]\ncompatible={factory.COMPATIBLE}\nversion={version}\n\n[image.rootfs]\nfilename={image.name}\n"
            + (f"\n[meta.cra]\n{about}" if about else ""),
            "utf-8",
        )
        pki, path = self.keys[signer], self.directory / "bundles" / f"{version}.raucb"
        key = load_pem_private_key(pki.signer_key.read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise RuntimeError("the development keys are on P-256")
        create(
            read_directory(content),
            path,
            signer=PemSigner(x509.load_pem_x509_certificate(pki.signer.read_bytes()), key),
            intermediates=[x509.load_pem_x509_certificate(pki.ca.read_bytes())],
        )
        size, digest = image.stat().st_size, sha256(image)
        shutil.rmtree(content)
        if mutate is not None:
            mutate(path)
        module = self.server.upload(path, version=version)
        return Published(version, module, path, path.stat().st_size, size, digest)

    def deploy(self, published: Published) -> str:
        """Gives the update to the device; returns the id of the action."""
        action_id = self.server.assign(CONTROLLER, published.module)
        self._news.tell("operator", f"gives version {published.version} to the device (action {action_id})")
        return action_id

    def tick(self) -> None:
        """Lets the board work and tells what is new."""
        self._news.look(self.board.record(), self.server)
        self.board.tick()
        if time.monotonic() >= self._look_again:
            self._look_again = time.monotonic() + _LOOK
            self._watch_writer()

    def tell(self, source: str, text: str, tone: str = "plain") -> None:
        """Tells the listener about something that the caller does to this world."""
        self._news.tell(source, text, tone)

    def wait_for(self, wanted: Callable[[], _T], timeout: float, what: str) -> _T:
        """Ticks until ``wanted`` gives something true, and returns that.

        Raises:
            EnvironmentFault: ``demo.timeout`` with what the device said last.
        """
        end = time.monotonic() + timeout
        while True:
            self.tick()
            if found := wanted():
                return found
            if time.monotonic() > end:
                log = self.board.log.read_text("utf-8", "replace") if self.board.boots else ""
                raise EnvironmentFault(
                    "demo.timeout", f"this did not happen within {timeout:g} s: {what}", retryable=False,
                    details=f"{dict(self.board.record())}\n{log[-3000:]}", resolution=f"read {self.board.log}",
                )  # fmt: skip
            time.sleep(_PAUSE)

    def wait_idle(self, timeout: float = 30) -> None:
        """Ticks until the device rests, with nothing left to report."""
        self.wait_for(lambda: self.state in ("", "idle"), timeout, "the device has nothing to do")

    def wait_settled(self, timeout: float = 30) -> None:
        """Ticks until the device rests and its running system has proved itself: nothing on it changes any more."""
        self.wait_idle(timeout)
        name = self.running.bootname
        if name == self.board.rescue:
            return
        proved = {f"BOOT_{name}_LEFT": f"{ATTEMPTS:x}"}
        if self.board.bootloader == "grub":
            proved = {f"{name}_OK": "1", f"{name}_TRY": "0"}
        self.wait_for(
            lambda: proved.items() <= self.board.flash.load().variables.items(),
            timeout,
            "the boot attempts are given back",
        )

    def wait_ended(self, action_id: str, timeout: float = 90) -> str:
        """Ticks until the server has closed the action, and returns its status."""
        status = self.server.action_status
        self.wait_for(
            lambda: status(action_id) in ("FINISHED", "ERROR", "CANCELED", "DOWNLOADED"), timeout, "the action ends"
        )
        return status(action_id)

    @property
    def bus(self) -> str:
        """Address of the device's message bus; empty when it has none."""
        return self._bus.address if self._bus is not None else ""

    def properties(self) -> Mapping[str, object]:
        """What the device says of itself on D-Bus; empty without a bus, or while the daemon is not there."""
        return properties(self.bus) if self.bus else {}

    @property
    def state(self) -> str:
        """The state in the daemon's record; empty before its first."""
        return str(self.board.record().get("state", ""))

    @property
    def checkpoint(self) -> int:
        """Bytes of the image that the daemon knows to be on the medium."""
        offsets = self.board.record().get("checkpoints")
        return sum(int(str(value)) for value in offsets.values()) if isinstance(offsets, dict) else 0

    @property
    def running(self) -> Boot:
        """The present boot."""
        return self.board.booted

    @property
    def other(self) -> str:
        """The boot name of the slot that does not run."""
        return next(name for name in self.board.slots if name != self.running.bootname)

    def history(self, action_id: str) -> list[Entry]:
        """What the server has recorded about an action, oldest first."""
        return self.server.history(action_id)

    def messages(self, action_id: str) -> str:
        """All lines of an action's history."""
        return "\n".join(line for entry in self.history(action_id) for line in entry.messages)

    def slot_sha256(self, bootname: str, size: int = -1) -> str:
        """Digest of what a slot holds, in all or in its first ``size`` bytes."""
        return sha256(self.board.slots[bootname], size)

    def environment(self) -> Mapping[str, str]:
        """The boot environment, as the usual tool shows it when it is installed."""
        call = ("fw_printenv", "-c", str(self.directory / "fw_env.config"))
        if self.board.bootloader == "grub":
            call = ("grub-editenv", str(self.board.flash.path), "list")
        if not tools.find(call[0]):
            return self.board.flash.load().variables
        text = tools.run(*call).decode("utf-8", "replace")
        return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)

    def sent(self, published: Published, since: int = 0) -> int:
        """Bytes of a bundle that the server has sent, from its request number ``since`` on."""
        seen = list(self.server.seen)[since:]
        return sum(each.sent for each in seen if published.bundle.name in each.path)


def sha256(path: Path, size: int = -1) -> str:
    """Digest of a file, or of its first ``size`` bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        left = path.stat().st_size if size < 0 else size
        while left > 0 and (piece := file.read(min(left, images.MIB))):
            digest.update(piece)
            left -= len(piece)
    return digest.hexdigest()

"""One demo device and what the tests beside rauc-hawkbit-updater's list do with it (``tests/parity``)."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import agent
from agent.demo import server_config
from agent.demo.factory import CONTROLLER
from agent.demo.server import DevServer
from agent.demo.server_state import Entry
from agent.demo.world import World
from support.shelf import Shelf, ask_now, trust

ENTRY = Path(agent.__file__).with_name("__main__.py")
# The reference fetches a bundle to a file, or lets RAUC stream it. Ours streams what can be checked block by block, and
# keeps a plain bundle whole before it is looked at.
MODES: Mapping[str, Any] = {"download": "plain", "streaming": "verity"}
_ENDS = ("FINISHED", "ERROR", "CANCELED", "DOWNLOADED")


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs ``ota-agent`` to its end."""
    command = [sys.executable, "-I", str(ENTRY), *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, cwd="/")


class Device:
    """A device that takes a new version each time.

    Args:
        world: switched on.
        shelf: where bundles are made.
    """

    def __init__(self, world: World, shelf: Shelf) -> None:
        self.world = world
        self._shelf = shelf
        self._versions = count(2)

    def bundle(self, mode: str = "streaming", **how: Any) -> Path:
        """A bundle of the next version, of the format that stands for ``mode``."""
        version = f"{next(self._versions)}.0.0"
        return self._shelf.bundle(version, format=MODES[mode], name=f"{version}-{mode}.raucb", **how)

    def image(self, bundle: Path) -> Path:
        """The root file system in a bundle of ``bundle``."""
        return self._shelf.image(bundle.name.partition("-")[0])

    def assign(self, bundle: Path, **how: Any) -> str:
        """Gives a bundle to the device; returns the action's id."""
        version = bundle.name.partition("-")[0]
        return self.world.server.assign(CONTROLLER, self.world.server.upload(bundle, version=version), **how)

    def assign_now(self, bundle: Path, **how: Any) -> str:
        """The same, and the device asks at once."""
        action_id = self.assign(bundle, **how)
        ask_now(self.world)
        return action_id

    def ended(self, action_id: str) -> Entry:
        """Waits for the end of an action, and for the device to rest; returns the last entry, the only one that ends it."""
        world = self.world
        status = world.server.action_status
        world.wait_for(lambda: status(action_id) in _ENDS, 60, f"action {action_id} ends")
        world.wait_settled()
        final = [entry for entry in world.history(action_id) if entry.type in _ENDS]
        assert len(final) == 1, world.messages(action_id)
        assert final[0] is world.history(action_id)[-1]
        return final[0]

    def sent(self, bundle: Path) -> int:
        """Bytes of a bundle that the server has sent."""
        return sum(request.sent for request in self.world.server.requests(f"/artifacts/{bundle.name}"))

    def says(self, state: str) -> Mapping[str, object]:
        """Waits until the device says this of its server, and returns everything that it says."""
        self.world.wait_for(lambda: self.world.properties().get("ServerState") == state, 30, f"the device says {state}")
        return self.world.properties()

    def restart(self, settings: Mapping[str, object] | None = None) -> None:
        """Cuts the power, changes settings (``{"server.tenant": "X"}``), and switches on again."""
        self.world.board.power_cut()
        for name, value in (settings or {}).items():
            configure(self.world.board.config, name, value)
        self.world.board.power_on()


def accept_gateway_token(world: World, token: str) -> None:
    """Any controller id is welcome with this token."""
    world.server.state.config.set(server_config.BY_GATEWAY, True)
    world.server.state.config.set(server_config.GATEWAY_KEY, token)


def words(entry: Entry) -> list[str]:
    """What the device itself has said in an entry."""
    return [line for line in entry.messages if not line.startswith("Update Server: ")]


def configure(file: Path, name: str, value: object) -> None:
    """Sets one value in a configuration of ``agent.demo.factory``."""
    section, _, key = name.rpartition(".")
    head, begin, rest = file.read_text("utf-8").partition(f"[{section}]\n")
    values, end, tail = rest.partition("\n\n")
    values = re.sub(rf"(?m)^{re.escape(key)} = .*\n?", "", values)
    file.write_text(f"{head}{begin}{key} = {json.dumps(value)}\n{values}{end}{tail}", "utf-8")


def secret(path: Path, text: str) -> None:
    """Writes a token file as it must be: only its owner may read it."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


@contextmanager
def parity_device(
    directory: Path,
    overrides: Mapping[str, object] | None = None,
    server: Callable[[World], DevServer] | None = None,
    **how: Any,
) -> Iterator[Device]:
    """A device that runs 1.0.0, is settled, and has heard from its server once.

    Args:
        directory: an empty folder.
        overrides: of settings.
        server: makes another server for it than the demo has.
        how: further arguments of ``World``.
    """
    settings = {"update.attempts": 2, "update.retry-delay": 0.05, "server.read-timeout": 3, **(overrides or {})}
    world = World(directory / "world", size=8, overrides=settings, bus=True, **how)
    if server is not None:
        world.server.stop()
        world.server = server(world)
    with trust(world):
        device = Device(world, Shelf(directory / "shelf"))
        world.wait_settled()
        device.says("ok")
        yield device

"""One good update in the middle of which everything happens, and what became of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from boot.lab.device import HEALTH, Device
from boot.lab.system import System

UNITS = {
    "fetcher": "ota-agent-fetch@*.service",
    "installer": "ota-agent-install@*.service",
    "daemon": "ota-agent.service",
}
# Progress gives an update its attempts back, so a few are enough. Nobody cancels anything, and a cable is pulled for a while.
# On a fast host, too, the download must last for all that happens in it.
SETTINGS = {"update.attempts": 4, "server.poll-min": 600, "server.read-timeout": 30, "server.max-rate": "768K"}
# A trial that lasts long enough to be cut.
SYSTEM = System("2.0.0", files={HEALTH: "[health]\ndeadline = 600\nsoak = 30\ninterval = 5\n"})
# What RAUC would use to fetch only what has changed. The two systems differ in a few blocks.
INDEX = "adaptive=block-hash-index\n"
_ENDS = ("FINISHED", "ERROR", "CANCELED")
_PAUSE = 2.0  # seconds between two looks
_WRITES = 30.0  # seconds in which the agent wants to write


@dataclass(frozen=True, slots=True)
class Blow:
    """What has struck, while the slot was written.

    Args:
        before: bytes of the image that were surely on the medium after it, as the daemon had noted.
        after: the first number above that.
        found: what shows that it struck.
    """

    before: int
    after: int
    found: str


@dataclass(slots=True)
class Story:
    """What has happened.

    Args:
        blows: by name.
        started: what the bootloader has started, from the first boot on.
        told: the types of all that the server was told, in this order.
        version: what runs.
        holds: the slot holds all of the image.
        variables: the boot environment in the end.
        killed: units of which systemd has said that they were killed.
        codes: of what went wrong, by the agent's own words.
    """

    blows: dict[str, Blow] = field(default_factory=dict)
    started: Sequence[str] = ()
    told: Sequence[str] = ()
    version: str = ""
    holds: bool = False
    variables: dict[str, str] = field(default_factory=dict)
    killed: set[str] = field(default_factory=set)
    codes: set[str] = field(default_factory=set)

    @property
    def ends(self) -> list[str]:
        """What the server was told that ends an update."""
        return [each for each in self.told if each in _ENDS]


def endured(device: Device, bundle: Path) -> Story:
    """Updates a device from slot A to B, and lets everything happen meanwhile.

    Args:
        device: on and idle, in slot A; made with ``SETTINGS``.
        bundle: of ``SYSTEM``.
    """
    story = Story()
    action = device.publish(bundle, SYSTEM.version)
    device.run("systemctl reload ota-agent.service")
    device.wait_state("staging")
    _await_progress(device, 0)
    for name, unit in UNITS.items():
        _strike(device, story, name, lambda unit=unit: _kill(device, unit))
    for name, blow in (("cable", _pull_cable), ("full", _fill), ("power", _cut)):
        _strike(device, story, name, lambda blow=blow: blow(device))
    device.vm.until(
        lambda: "restarting into it" in device.messages(action) and _first(device) == "B", "the switch is made", 3600
    )
    _cut(device)
    device.wait_state("trial")
    _cut(device)
    device.wait_ended(action)
    device.up()
    device.wait_state("idle")
    story.started, story.version = tuple(device.started), device.version
    story.holds, story.variables = device.slot_holds("B", SYSTEM.version), dict(device.variables)
    story.told = [entry.type for entry in device.server.history(action)]
    said = device.run("journalctl --quiet --output=cat _PID=1 | grep status=9/KILL").splitlines()
    story.killed = {name for name, unit in UNITS.items() for line in said if line.startswith(unit.partition("*")[0])}
    story.codes = set(device.run("journalctl --quiet --field=OTA_ERROR_CODE").split())
    return story


def _strike(device: Device, story: Story, name: str, blow: Callable[[], str]) -> None:
    found = blow()
    before = _progress(device)
    story.blows[name] = Blow(before, _await_progress(device, before), found)


def _kill(device: Device, unit: str) -> str:
    """Until the next one runs; returns the numbers of the processes."""
    pids = f"systemctl show --property=MainPID --value '{unit}' | grep -v '^0*$'"
    wait = "while ! new=$(" + pids + ') || test "$new" = "$old"; do sleep 1; done'
    return device.run(f"old=; {wait}; old=$new; kill -KILL $old; {wait}; echo $old, then $new")


def _pull_cable(device: Device) -> str:
    """Until the fetcher has given its connection up and gets no other one."""
    device.vm.set_link(False)
    # proc(5): a socket that has asked for a connection and was not answered is in state 02.
    asks = "while ! grep -E '^ *[0-9]+: [0-9A-F:]+ [0-9A-F:]+ 02 ' /proc/net/tcp; do sleep 2; done"
    found = device.run(asks)
    device.vm.set_link(True)
    return found


def _fill(device: Device) -> str:
    """Until the agent must have wanted to write."""
    found = device.ask("dd if=/dev/zero of=/var/filled bs=1M 2>&1; stat --file-system --format='%a free' /var")[1]
    time.sleep(_WRITES)
    device.run("rm /var/filled")
    return found


def _cut(device: Device) -> str:
    """Returns the slot that boots then."""
    device.cut()
    device.power_on()
    return device.started[-1]


def _first(device: Device) -> str:
    """The slot that boots next; nothing while the environment is being written."""
    try:
        variables: Any = device.variables
    except LookupError:
        return ""
    return str(variables.get("BOOT_ORDER", variables.get("ORDER", ""))).partition(" ")[0]


def _progress(device: Device) -> int:
    return sum(device.document("record").get("checkpoints", {}).values())


def _await_progress(device: Device, beyond: int) -> int:
    def further() -> int:
        time.sleep(_PAUSE)
        record = device.document("record")
        assert record.get("state") not in ("rebooting", "reporting", "idle"), "the update was over too soon"
        done = sum(record.get("checkpoints", {}).values())
        return done if done > beyond else 0

    return device.wait_for(further, f"more than {beyond} bytes are in the slot")

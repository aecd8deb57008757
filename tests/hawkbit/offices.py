"""An operator at any server: the few things that each can do, so that a promise is asked of all of them in the same words."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Protocol

from fleet.device import Device as Simulated
from fleet.systems import GOOD, System, bundle_of

from hawkbit.bench import NEW, Bench
from hawkbit.geese import HARDWARE, OLD, Geese
from hawkbit.lab import Device


@dataclass(frozen=True, slots=True)
class Assigned:
    """What a device is to install.

    Args:
        action: the server's number.
        version: of the system in the bundle.
        content: of the bundle.
    """

    action: int
    version: str
    content: bytes


class Office(Protocol):
    """What an operator does, and sees."""

    def device(self) -> Device:
        """A device by hand that is known and has told nothing yet."""
        ...

    def simulated(self, url: str = "") -> Simulated:
        """Our own device, which has told what it is; ``url`` is a way round to the server."""
        ...

    def assign(self, device: Device | Simulated, health: str = GOOD) -> Assigned:
        """Gives a device that has told what it is a bundle of its own."""
        ...

    def ended(self, device: Device | Simulated, action: int) -> str:
        """How the operator sees that it ended: ``success``, ``failure``, or empty while it is under way."""
        ...

    def told(self, device: Device | Simulated, action: int) -> str:
        """What the operator reads of it."""
        ...

    def version(self, device: Device | Simulated) -> str:
        """The version that the device runs, as far as the operator knows."""
        ...


def attributes(device: Device) -> None:
    """A device by hand tells what it is."""
    assert device.attributes({"sw_version": OLD, **HARDWARE}) == 200


@dataclass
class HawkbitOffice:
    """At hawkBit and at the development server."""

    bench: Bench

    def device(self) -> Device:
        return self.bench.lab.device()

    def simulated(self, url: str = "") -> Simulated:
        device = self.bench.device(url=url)
        device.live()
        return device

    def assign(self, device: Device | Simulated, health: str = GOOD) -> Assigned:
        operator = self.bench.lab.operator
        name = uuid.uuid4().hex[:10]
        bundle = bundle_of(System(NEW, health), self.bench.home)
        module = operator.module(f"rootfs-{name}", NEW)
        operator.artifact(module, bundle)
        action = operator.assign(operator.distribution(f"fw-{name}", NEW, [module]), _name(device))
        return Assigned(action, NEW, bundle.read_bytes())

    def ended(self, device: Device | Simulated, action: int) -> str:
        newest = self.bench.lab.operator.statuses(_name(device), action)[0]["type"]
        return {"finished": "success", "error": "failure"}.get(str(newest), "")

    def told(self, device: Device | Simulated, action: int) -> str:
        return "\n".join(text for text in self.bench.lab.operator.messages(_name(device), action) if text)

    def version(self, device: Device | Simulated) -> str:
        installed = self.bench.lab.operator.installed(_name(device))
        return str(installed["version"]) if installed else OLD


@dataclass
class GooseOffice:
    """At goosebit."""

    geese: Geese

    def device(self) -> Device:
        return self.geese.known(self.geese.name())

    def simulated(self, url: str = "") -> Simulated:
        return self.geese.simulated(url)

    def assign(self, device: Device | Simulated, health: str = GOOD) -> Assigned:
        software = self.geese.software(health)
        self.geese.operator.assign(software.number, _name(device))
        return Assigned(software.number, software.version, software.bundle.read_bytes())

    def ended(self, device: Device | Simulated, action: int) -> str:
        return {"Finished": "success", "Error": "failure"}.get(self.geese.state(device)[0], "")

    def told(self, device: Device | Simulated, action: int) -> str:
        return self.geese.operator.log(_name(device))

    def version(self, device: Device | Simulated) -> str:
        return self.geese.state(device)[1]


def _name(device: Device | Simulated) -> str:
    return device.controller_id if isinstance(device, Simulated) else device.name

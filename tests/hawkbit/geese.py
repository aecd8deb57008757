"""goosebit and what a test needs of it: devices by hand and simulated ones, real bundles, the operator."""

from __future__ import annotations

import itertools
import uuid
from dataclasses import dataclass
from pathlib import Path

from fleet.device import Device as Simulated
from fleet.systems import COMPATIBLE, GOOD, System, bundle_of
from fleet.turns import Alone

from hawkbit.goosebit import Goosebit
from hawkbit.instances import Instance
from hawkbit.lab import Device

OLD = "1.0.0"
HARDWARE = {"hw_boardname": COMPATIBLE, "hw_revision": "default"}  # as the server reads it from a RAUC bundle
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Software:
    """Something to install, by the server's number."""

    number: int
    version: str
    bundle: Path


@dataclass
class Geese:
    """What a test works with."""

    instance: Instance
    home: Path

    @property
    def operator(self) -> Goosebit:
        """The management API."""
        assert self.instance.goosebit
        return self.instance.goosebit

    def name(self) -> str:
        """A new device that the operator has made known with a token."""
        name = f"goose-{uuid.uuid4().hex[:10]}"
        self.operator.target(name, f"token-of-{name}")
        return name

    def known(self, name: str, auth: str | None = None) -> Device:
        """A device by hand."""
        token = f"TargetToken token-of-{name}" if auth is None else auth
        return Device(self.instance.controller_url(name), token, name)

    def software(self, health: str = GOOD) -> Software:
        """A real bundle of a version that no other has: the server takes each version once."""
        version = f"1.1.{next(_numbers)}"
        bundle = bundle_of(System(version, health), self.home)
        return Software(self.operator.upload(bundle), version, bundle)

    def assigned(self) -> tuple[Device, Software]:
        """A device by hand that has told what it is, and what is assigned to it."""
        device, software = self.known(self.name()), self.software()
        assert device.attributes({"sw_version": OLD, **HARDWARE}) == 200
        self.operator.assign(software.number, device.name)
        return device, software

    def simulated(self, url: str = "") -> Simulated:
        """Our own device, which has polled already: before that nothing can be assigned to it."""
        name = self.name()
        overrides = {f"server.attributes.{key}": value for key, value in HARDWARE.items()}
        device = Simulated(
            self.home / name, name, url or self.instance.url, ("target", f"token-of-{name}"), Alone(), System(OLD),
            rests=True, overrides=overrides,
        )  # fmt: skip
        device.live()
        return device

    def update(self, device: Simulated, software: Software) -> None:
        """Assigns something to a device and lets it live until it has nothing left to do."""
        self.operator.assign(software.number, device.controller_id)
        device.live()

    def state(self, device: Simulated | Device) -> tuple[str, str]:
        """What the operator sees of a device: its state and its version."""
        seen = self.operator.device(device.controller_id if isinstance(device, Simulated) else device.name)
        return str(seen["last_state"]), str(seen["sw_version"])

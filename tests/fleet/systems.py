"""What the devices of a fleet run: systems of a few KiB in real bundles."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path

from support.bundles import make_bundle, shared_pki

COMPATIBLE = "fleet-board"
IMAGE_SIZE = 16 * 1024  # bytes
SLOT_SIZE = 24 * 1024

GOOD = "good"
SICK = "sick"  # boots, but its health check is red
DEAD = "dead"  # does not boot


@dataclass(frozen=True, slots=True)
class System:
    """The content of a slot, told by its first line.

    Args:
        version: of the system.
        health: GOOD, SICK or DEAD.
    """

    version: str
    health: str = GOOD

    def image(self) -> bytes:
        """The bytes of the image; of the same system they are always the same."""
        head = json.dumps({"version": self.version, "health": self.health}).encode() + b"\n"
        return head + random.Random(head).randbytes(IMAGE_SIZE - len(head))


def system_in(slot: Path) -> System | None:
    """What a slot holds; None when it is no whole system."""
    data = slot.read_bytes()[:IMAGE_SIZE]
    try:
        head = json.loads(data.partition(b"\n")[0])
        found = System(head["version"], head["health"])
    except (ValueError, KeyError, TypeError):
        return None
    return found if found.image() == data else None


def bundle_of(system: System, directory: Path, *, signer: str = "good") -> Path:
    """Makes the signed bundle; ``signer`` as in ``support.bundles``."""
    name = f"{system.version}-{system.health}-{signer}.raucb"
    return make_bundle(
        directory, version=system.version, compatible=COMPATIBLE, image=system.image(), signer=signer, name=name,
        pki=shared_pki(),
    )  # fmt: skip

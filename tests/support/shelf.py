"""Bundles for the device of ``agent.demo.world``, of every kind, and how a test hands them to it.

``trust(world)`` makes the device believe the certificates of ``pki.build`` too, before it is switched on.
"""

from __future__ import annotations

import datetime as dt
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from asn1crypto import cms as asn1
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from pki.build import pem, shared_pki

from agent.bundle.cms import parse_signed_data
from agent.demo import images
from agent.demo.factory import COMPATIBLE, CONTROLLER
from agent.demo.world import World
from support.bundles import make_bundle
from support.tampering import Parts, openssl_cms, parts_of


class Shelf:
    """Makes bundles, and each root file system only once.

    Args:
        directory: for everything that is made.
        size: MiB of a root file system.
    """

    def __init__(self, directory: Path, size: int = 8) -> None:
        self.directory = directory
        self._size = size

    def image(self, version: str, *, sick: str = "", bootable: bool = True) -> Path:
        """A root file system; see ``agent.demo.images``."""
        path = self.directory / f"{version}{'-sick' if sick else ''}{'' if bootable else '-dead'}.img"
        if not path.exists():
            images.make_image(path, images.RootFs(version, self._size, sick, bootable))
        return path

    def bundle(self, version: str, *, image: Path | bytes | None = None, **how: Any) -> Path:
        """A signed bundle; what is not said is right for the device (see ``bundles.make_bundle``)."""
        name = how.pop("name", "") or f"{version}.raucb"
        content = self.image(version) if image is None else image
        return make_bundle(
            self.directory, version=version, image=content, name=name, **{"compatible": COMPATIBLE, **how}
        )


def trust(world: World) -> World:
    """Adds the root of ``pki.build`` to the device's keyring."""
    with world.keys["vendor"].root.open("ab") as keyring:
        keyring.write(pem(shared_pki().root))
    return world


def offer(world: World, bundle: Path, version: str = "9") -> str:
    """Gives a bundle to the device and has it ask at once; returns the action's id."""
    action_id = world.server.assign(CONTROLLER, world.server.upload(bundle, version=version))
    ask_now(world)
    return action_id


def half_written(world: World) -> bool:
    """Whether the environment is that of a device whose other slot must not boot, not even in need."""
    running, other, environment = world.running.bootname, world.other, world.environment()
    return (
        environment["BOOT_ORDER"] == running
        and (environment[f"BOOT_{running}_LEFT"], environment[f"BOOT_{other}_LEFT"]) == ("3", "0")
        and "OTA_TRIAL" not in environment
    )


def ask_now(world: World) -> None:
    """Makes a settled device ask its server without waiting for the planned time (SIGHUP)."""
    os.kill(world.board.daemon_pid, signal.SIGHUP)


def manifest_of(bundle: Path) -> bytes:
    """The signed manifest of a verity bundle."""
    content = parse_signed_data(parts_of(bundle).cms).content
    if content is None:
        raise ValueError("a plain bundle has its manifest elsewhere")
    return content


def signed_again(bundle: Path, change: Callable[[bytes], bytes], signer: str = "good") -> bytes:
    """A verity bundle with another manifest under a valid signature, which no honest tool would make."""
    cms = openssl_cms(change(manifest_of(bundle)), shared_pki().signer(signer))  # our own writer refuses weak keys
    return Parts(parts_of(bundle).payload, cms).joined()


def dated(bundle: Path, when: dt.datetime, signer: str = "good") -> bytes:
    """A verity bundle whose signer claims to have signed it at another time, before 2050."""
    identity = shared_pki().signer(signer)
    parts = parts_of(bundle)
    content = asn1.ContentInfo.load(parts.cms)
    info = content["content"]["signer_infos"][0]
    for attribute in info["signed_attrs"]:
        if attribute["type"].native == "signing_time":
            attribute["values"] = [asn1.Time(name="utc_time", value=when)]
    attributes = info["signed_attrs"].untag()  # what is signed is a SET OF, without the tag (RFC 5652, 5.4)
    if not isinstance(identity.key, ec.EllipticCurvePrivateKey):
        raise TypeError("only for signers on an elliptic curve")
    info["signature"] = identity.key.sign(attributes.dump(force=True), ec.ECDSA(hashes.SHA256()))
    return Parts(parts.payload, content.dump(force=True)).joined()

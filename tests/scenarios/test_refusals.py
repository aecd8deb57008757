"""What a device refuses, through the whole chain: nothing is touched, the server hears why, and the device is ready again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
from support.shelf import Shelf, half_written, manifest_of, offer, signed_again, trust
from support.tampering import Parts, flipped, parts_of

from agent.bundle.manifest import parse_manifest
from agent.codes import number
from agent.demo.images import MIB
from agent.demo.server_faults import Fault
from agent.demo.world import World

ATTEMPTS = 2
VERSION = "2.0.0"
BLOCK = 4096
_NUMBERS = count()


@dataclass
class Device:
    """One device for the whole module: that it takes the next update after a refusal is part of what is proven."""

    world: World
    shelf: Shelf
    good: Path


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    home = tmp_path_factory.mktemp("refusals")
    shelf = Shelf(home / "shelf")
    good = shelf.bundle(VERSION)
    overrides = {"update.attempts": ATTEMPTS, "update.retry-delay": 0.05, "server.read-timeout": 3}
    with trust(World(home / "world", size=8, overrides=overrides)) as world:
        world.wait_settled()
        yield Device(world, shelf, good)


@dataclass(frozen=True)
class Condition:
    """All that a refused update may not change."""

    slots: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    boots: int

    @classmethod
    def of(cls, world: World) -> Condition:
        slots = tuple(world.slot_sha256(name) for name in world.board.slots)
        return cls(slots, tuple(sorted(world.environment().items())), len(world.board.boots))


def refused(world: World, action_id: str, code: str) -> None:
    """The server was told once, in words and as a number, and the device rests."""
    status = world.wait_ended(action_id)
    history = world.history(action_id)
    assert status == "ERROR", world.messages(action_id)
    last = [entry for entry in history if entry.type in ("ERROR", "FINISHED", "CANCELED")]
    assert len(last) == 1
    assert last[0].messages[0].startswith(f"[{code}] "), world.messages(action_id)
    assert last[0].code == number(code)
    world.wait_settled()
    assert world.board.document("ending")["code"] == code


def rewritten(change: Callable[[bytes], bytes]) -> Callable[[Device], bytes]:
    return lambda device: change(device.good.read_bytes())


def signed_by(signer: str) -> Callable[[Device], bytes]:
    return lambda device: signed_again(device.good, lambda manifest: manifest, signer)


def saying(*texts: bytes) -> Callable[[Device], bytes]:
    """A valid signature over a manifest with something added, or, of two texts, the first replaced by the second."""

    def change(manifest: bytes) -> bytes:
        return manifest + texts[0] if len(texts) == 1 else manifest.replace(*texts)

    return lambda device: signed_again(device.good, change)


def made(**how: object) -> Callable[[Device], bytes]:
    def make(device: Device) -> bytes:
        image = how.get("image") or device.shelf.image(VERSION)
        name = f"made-{next(_NUMBERS)}.raucb"
        return device.shelf.bundle(**{"version": VERSION, **how, "image": image, "name": name}).read_bytes()

    return make


def in_tree(device: Device) -> bytes:
    parts = parts_of(device.good)
    top = len(parts.payload) - parse_manifest(manifest_of(device.good)).verity_size
    return Parts(flipped(parts.payload, top + BLOCK + 10), parts.cms).joined()


def in_cms(position: int) -> Callable[[Device], bytes]:
    def change(device: Device) -> bytes:
        parts = parts_of(device.good)
        return Parts(parts.payload, flipped(parts.cms, position)).joined()

    return change


def inside_cms(device: Device) -> bytes:
    parts = parts_of(device.good)
    return Parts(parts.payload, parts.cms + b"more").joined()


def without_signature(device: Device) -> bytes:
    return parts_of(device.good).payload + bytes(8)


def middle(device: Device) -> bytes:
    data = device.good.read_bytes()
    return flipped(data, len(data) // 2)


BAD = [
    ("unsigned", without_signature, "bundle.unsigned"),
    ("signature-cut-off", lambda device: parts_of(device.good).payload, "bundle.unsigned"),
    ("stranger-with-our-names", signed_by("evil"), "bundle.signature-untrusted"),
    ("another-authority", signed_by("other"), "bundle.signature-untrusted"),
    ("self-signed", signed_by("self-signed"), "bundle.signature-untrusted"),
    ("expired", signed_by("expired"), "bundle.certificate-expired"),
    ("not-yet-valid", signed_by("not-yet-valid"), "bundle.certificate-not-yet-valid"),
    ("signer-for-mail", signed_by("email"), "bundle.certificate-purpose"),
    ("signer-for-servers", signed_by("server"), "bundle.certificate-purpose"),
    ("weak-key", signed_by("rsa1024"), "bundle.signature-weak"),
    ("flip-in-first-block", rewritten(lambda data: flipped(data, 10)), "bundle.payload-corrupt"),
    ("flip-in-tree", in_tree, "bundle.payload-corrupt"),
    ("flip-in-signature", in_cms(-1), "bundle.signature-invalid"),
    ("flip-in-structure", in_cms(0), "bundle.signature-malformed"),
    ("truncated", rewritten(lambda data: data[:-1000]), "bundle.trailer-invalid"),
    ("stump", rewritten(lambda data: data[:8]), "bundle.truncated"),
    ("garbage-behind", rewritten(lambda data: data + b"\xff" * 32), "bundle.trailer-invalid"),
    ("garbage-in-signature", inside_cms, "bundle.trailing-data"),
    ("no-bundle", lambda _: b"<html>log in to the hotel</html>" * 99, "bundle.trailer-invalid"),
    ("another-device", made(compatible="toaster"), "policy.incompatible"),
    ("older", made(version="0.9.9"), "policy.older"),
    ("without-version", saying(b"version=2.0.0\n", b""), "policy.no-version"),
    ("larger-than-slot", made(image=bytes(13 * MIB)), "slot.too-small"),
    ("unknown-slot", made(slot_class="appfs"), "bundle.no-slot"),
    ("unknown-key", saying(b"[image.rootfs]\n", b"[image.rootfs]\nsize-hint=1\n"), "bundle.manifest-invalid"),
    ("unknown-group", saying(b"\n[extra]\nkey=value\n"), "bundle.manifest-invalid"),
    (
        "hooks",
        made(extra="[hooks]\nfilename=program\nhooks=install-check\n", program="exit 0\n"),
        "bundle.hooks-unsupported",
    ),
    ("handler", made(extra="[handler]\nfilename=program\n", program="exit 0\n"), "bundle.hooks-unsupported"),
    ("program-not-there", saying(b"\n[handler]\nfilename=handler.sh\n"), "bundle.file-missing"),
    ("needs-newer", saying(b"version=2.0.0\n", b"version=2.0.0\nmin-rauc-version=99\n"), "bundle.needs-newer"),
    ("other-variants", saying(b"[image.rootfs]", b"[image.rootfs.red]"), "bundle.no-variant"),
    ("for-casync", saying(b"[image.rootfs]\n", b"[image.rootfs]\ntype=caidx\n"), "bundle.install-unsupported"),
    ("for-another-slot", saying(b"[image.rootfs]\n", b"[image.rootfs]\ntype=tar\n"), "slot.image-type"),
    ("image-not-there", saying(b"filename=rootfs.img", b"filename=other.img"), "bundle.file-missing"),
    ("plain-flipped", lambda device: flipped(made(format="plain")(device), 2 * MIB), "bundle.payload-corrupt"),
]


@pytest.mark.timeout(60)
@pytest.mark.req("S04", "S05", "S06", "T01", "T03", "T04", "T09", "T16")
@pytest.mark.parametrize(("make", "code"), [pytest.param(*case[1:], id=case[0]) for case in BAD])
def test_a_bad_bundle_is_refused_untouched_and_told(
    device: Device, tmp_path: Path, make: Callable[[Device], bytes], code: str
) -> None:
    bundle = tmp_path / "bad.raucb"
    bundle.write_bytes(make(device))
    before = Condition.of(device.world)
    refused(device.world, offer(device.world, bundle), code)
    assert Condition.of(device.world) == before


@pytest.mark.timeout(60)
@pytest.mark.req("T08", "S03")
def test_a_flip_in_the_middle_is_never_activated(device: Device, tmp_path: Path) -> None:
    world = device.world
    bundle = tmp_path / "bad.raucb"
    bundle.write_bytes(middle(device))
    before = Condition.of(world)
    action_id = offer(world, bundle)
    refused(world, action_id, "bundle.payload-corrupt")
    after = Condition.of(world)
    assert (after.boots, after.slots[0]) == (before.boots, before.slots[0])
    assert half_written(world)
    # What did reach the other slot is the verified beginning of the image, and nothing else.
    image, slot = device.shelf.image(VERSION).read_bytes(), world.board.slots[world.other].read_bytes()
    for offset in range(0, len(image), BLOCK):
        assert slot[offset : offset + BLOCK] in (image[offset : offset + BLOCK], bytes(BLOCK))
    assert slot[: len(image)] != image


BROKEN = [
    ("not-found", Fault(times=99, status=404), "net.not-found"),
    ("gone", Fault(times=99, status=410), "net.not-found"),
    ("server-error", Fault(times=99, status=500), "net.http-status"),
    ("short-body", Fault(times=99, drop_after=0), "net.short-body"),
    ("longer-than-announced", Fault(times=99, size_delta=4096), "net.wrong-length"),
    ("shorter-than-announced", Fault(times=99, size_delta=-4096), "net.wrong-length"),
    ("no-ranges", Fault(times=99, ignore_range=True), "net.range-unsupported"),
    ("refused-to-us", Fault(times=99, status=401), "net.unauthorised"),
    (
        "endless-document",
        Fault("deploymentBase", 1, "GET", 200, {"Transfer-Encoding": "chunked"}, b"200000\r\n" + bytes(0x200000)),
        "net.too-large",
    ),
    ("no-document", Fault("deploymentBase", 99, "GET", 200, {}, b"{}"), "ddi.invalid-document"),
]


@pytest.mark.timeout(90)
@pytest.mark.req("S09", "T16", "T24")
@pytest.mark.parametrize(("fault", "code"), [pytest.param(*case[1:], id=case[0]) for case in BROKEN])
def test_a_transfer_that_cannot_work_is_given_up_untouched_and_told(device: Device, fault: Fault, code: str) -> None:
    world = device.world
    before = Condition.of(world)
    world.server.faults.add(fault)
    try:
        refused(world, offer(world, device.good), code)
    finally:
        world.server.faults.clear()
    assert Condition.of(world) == before


@pytest.mark.timeout(60)
@pytest.mark.req("S09", "S01", "T16")
def test_an_endless_body_costs_no_more_than_the_bundle_and_the_device_still_takes_a_good_one(device: Device) -> None:
    world = device.world
    world.server.faults.add(Fault(times=99, endless=True))
    try:
        status = world.wait_ended(offer(world, device.good))
    finally:
        world.server.faults.clear()
    assert status == "FINISHED"
    assert (world.running.bootname, world.running.version) == ("B", VERSION)
    image = device.shelf.image(VERSION).read_bytes()
    assert world.board.slots["B"].read_bytes()[: len(image)] == image

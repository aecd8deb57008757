"""A device without a network whose slots do not boot: its rescue system installs a bundle from a stick, encrypted for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from pki.build import shared_pki
from support.bundles import closed

from boot.lab.device import Device
from boot.lab.kinds import KINDS
from boot.lab.root_files import FACTORY
from boot.lab.stick import FINDER, MODULES, make_stick, plug
from boot.lab.system import KERNEL_NAMES, System

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(5400)]
SETTINGS = {
    "slot.rescue.0.device": "partlabel:rescue", "slot.rescue.0.bootname": "R", "slot.rescue.0.rescue": True,
    "slot.rescue.0.readonly": True, "media.install": "auto", "encryption.key": f"{FACTORY}/device.key",
}  # fmt: skip
VERSION = "2.0.0"


@dataclass(frozen=True, slots=True)
class Rescued:
    """What has happened: of the rescue system, and then of the system from the stick."""

    first: tuple[str, ...]
    is_rescue: bool
    started: tuple[str, ...]
    version: str
    result: str
    holds: bool
    asked: int  # requests that reached the server, over all boots


@pytest.fixture(scope="module")
def rescued(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rescued]:
    home = tmp_path_factory.mktemp(kind)
    identity = shared_pki().signer("rsa2048")
    key = identity.write(home / "identity")[1].read_bytes()
    board = KINDS[kind](rescue=True)
    with Device(
        home / "device", board, System("1.0.0", remove=[KERNEL_NAMES[board.arch]]), settings=SETTINGS,
        rescue=System("0.9.0", files=MODULES, links=FINDER), secrets={"device.key": key},
    ) as device:  # fmt: skip
        bundle = closed(device.bundle(System(VERSION), format="crypt"), identity)
        device.power_on(wait=False)
        device.vm.set_link(False)
        device.up()
        first, is_rescue = tuple(device.started), device.busctl("get-property", "Rescue")
        plug(device.vm, make_stick(device.directory / "stick.img", bundle))
        device.wait_started(*first, "A")
        device.up()
        result = device.wait_for(lambda: device.busctl("get-property", "LastResult")[0], "the trial is over")
        yield Rescued(
            first, is_rescue, tuple(device.started), device.version, result, device.slot_holds("A", VERSION),
            len(device.server.requests()),
        )  # fmt: skip


@pytest.mark.req("S32")
def test_the_rescue_system_starts_when_no_slot_boots(rescued: Rescued) -> None:
    assert (rescued.first[-1], rescued.is_rescue) == ("R", True)


@pytest.mark.req("S32", "T23")
def test_it_installs_an_encrypted_bundle_from_a_stick(rescued: Rescued) -> None:
    assert rescued.holds
    assert (rescued.started[len(rescued.first) :], rescued.version) == (("A",), VERSION)


@pytest.mark.req("T23")
def test_a_system_from_a_stick_is_confirmed_without_a_network(rescued: Rescued) -> None:
    assert rescued.result == "success"
    assert rescued.asked == 0, "the cable was out all the time"

"""Two updates of one device: the second one goes into the slot that the device came from.

It comes on a stick and has no network, which no server has asked for: that is no reason to leave it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from boot.lab.device import Device
from boot.lab.kinds import KINDS
from boot.lab.root_files import NO_NETWORK
from boot.lab.stick import mounted
from boot.lab.story import is_updated
from boot.lab.system import System

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(5400)]
FIRST, SECOND = System("2.0.0"), System("3.0.0", files=NO_NETWORK)


@pytest.fixture(scope="module")
def device(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    """Switched off, and then what the test before has left."""
    with Device(tmp_path_factory.mktemp(kind) / "device", KINDS[kind]()) as device:
        yield device


@pytest.mark.req("S01")
def test_a_device_is_updated_by_its_server_and_confirms_the_new_system(device: Device) -> None:
    is_updated(device, FIRST)


@pytest.mark.req("S01", "T23", "T28")
def test_the_second_update_goes_into_the_first_slot_and_is_kept_without_a_network_because_it_came_on_a_stick(
    device: Device,
) -> None:
    device.install(mounted(device, device.bundle(SECOND)))
    device.wait_started("A", "B", "A")
    asked = len(device.server.requests())  # by the system that is left
    device.up()
    device.wait_for(lambda: device.busctl("get-property", "LastResult")[1] == SECOND.version, "the trial is over")
    device.wait_for(lambda: device.busctl("get-property", "State") == "idle", "the agent is idle")
    assert device.busctl("get-property", "LastResult")[0] == "success"
    assert device.slot_holds("A", SECOND.version)
    assert (device.busctl("get-property", "Slot"), device.version) == ("A", SECOND.version)
    assert device.started == ["A", "B", "A"]
    assert device.run("ip -brief address show eth0").split()[2:] == []
    assert len(device.server.requests()) == asked

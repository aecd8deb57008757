"""Our own device with ``server.confirmation = "auto"``: the server asks no more, and asks again when that is taken back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fleet.device import Device, surroundings

from hawkbit.lab import Lab
from hawkbit.test_client import NEW, Bench, Run

pytestmark = pytest.mark.feature("management", "confirmation")


@pytest.fixture
def bench(lab: Lab, tmp_path: Path) -> Iterator[Bench]:
    with surroundings(), lab.configured("user.confirmation.flow.enabled", True, False):
        yield Bench(lab, tmp_path)


def known(bench: Bench, device: Device) -> dict[str, Any]:
    """Auto-confirmation as the operator sees it."""
    return dict(bench.lab.operator.call("GET", f"/targets/{device.controller_id}/autoConfirm"))


def test_a_device_that_has_switched_it_on_is_not_asked(bench: Bench) -> None:
    device = bench.device(**{"server.confirmation": "auto"})
    device.live()
    told = known(bench, device)
    assert (told["active"], told["initiator"]) == (True, "ota-agent")
    action = bench.lab.operator.assign(bench.set(), device.controller_id, "forced")
    device.live()
    run = Run(bench.lab, device, action)
    assert (run.running, run.kinds[-1]) == (NEW, "finished")
    assert "confirmed by initiator 'ota-agent'" in run.texts
    assert "confirmed by the device's configuration" not in run.texts


def test_what_waits_already_is_confirmed_by_it(bench: Bench) -> None:
    run = bench.update(settings={"server.confirmation": "auto"})
    assert (run.running, run.kinds[-1]) == (NEW, "finished")
    assert known(bench, run.device)["active"] is True
    assert "confirmed by the device's configuration" not in run.texts


def test_a_device_that_is_set_up_otherwise_switches_it_off_again(bench: Bench) -> None:
    device = bench.device(**{"server.confirmation": "auto"})
    device.live()
    device.config = replace(device.config, server=replace(device.config.server, confirmation="deny"))
    device.live()
    assert known(bench, device)["active"] is False

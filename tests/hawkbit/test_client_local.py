"""Our own device after an update from a file: what the server learns of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from fleet.device import Device
from fleet.systems import System, bundle_of

from agent.daemon.machine import State
from hawkbit.bench import NEW, OLD, Bench


def installed_from_a_file(bench: Bench, directory: Path) -> tuple[Device, int]:
    """A device and the distribution set that it shall report."""
    bundle = bundle_of(System(NEW), directory)
    distribution = bench.set()
    name = bench.lab.operator.call("GET", f"/distributionsets/{distribution}")["name"]
    device = bench.device(**{"server.report-installed": name})
    left = [str(bundle)]

    def entered(state: State) -> None:
        if state is State.IDLE and left and device.inbox is not None:
            device.inbox.install(left.pop())

    device.on_state = entered
    device.live()
    assert (device.factory, device.board.system.version) == (OLD, NEW)
    return device, distribution


@pytest.mark.feature("management", "put-installed-base")
def test_the_set_that_came_from_a_file_is_installed_for_the_server_too(bench: Bench, tmp_path: Path) -> None:
    device, distribution = installed_from_a_file(bench, tmp_path / "file")
    operator = bench.lab.operator
    assert (operator.installed(device.controller_id) or {})["id"] == distribution
    assert operator.call("GET", f"/targets/{device.controller_id}")["updateStatus"] == "in_sync"
    assert device.document("installed") == {}
    assert "server_believes" not in operator.attributes(device.controller_id)


@pytest.mark.feature("management", "no-put-installed-base")
def test_a_server_that_cannot_be_told_learns_the_version(bench: Bench, tmp_path: Path) -> None:
    device, _ = installed_from_a_file(bench, tmp_path / "file")
    assert bench.lab.operator.attributes(device.controller_id)["version"] == NEW
    assert device.document("installed") == {}  # given up, not tried for ever

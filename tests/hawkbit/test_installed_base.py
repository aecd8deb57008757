"""What the server believes is installed: read by the device, and corrected by it."""

from __future__ import annotations

import pytest

from hawkbit.lab import Lab

pytestmark = pytest.mark.feature("management", "installed-base")


def test_the_last_success_is_linked(lab: Lab) -> None:
    device, action = lab.assigned()
    assert "installedBase" not in device.links()
    device.say(action, "closed", "success")
    link = device.links()["installedBase"]
    assert link.endswith(f"/installedBase/{action}")
    document = device.get(link).json()
    assert document["id"] == str(action)
    assert document["deployment"]["chunks"][0]["artifacts"][0]["filename"] == "bundle.raucb"


def test_what_is_not_finished_is_not_installed(lab: Lab) -> None:
    device, action = lab.assigned()
    assert device.get(f"/installedBase/{action}").status_code == 404


def test_a_cancelled_action_is_not_installed(lab: Lab) -> None:
    device, action = lab.assigned()
    lab.operator.cancel(device.name, action)
    device.say(action, "closed", "success", on="cancelAction")
    assert device.get(f"/installedBase/{action}").status_code == 404


def test_the_history_of_an_installed_action_is_told(lab: Lab) -> None:
    device, action = lab.assigned()
    device.say(action, "closed", "success", "all is well")
    told = device.get(f"/installedBase/{action}?actionHistory=10").json()["actionHistory"]
    assert told["status"] == "FINISHED"
    assert "all is well" in told["messages"]


@pytest.mark.feature("put-installed-base")
def test_a_device_can_tell_what_is_installed(lab: Lab) -> None:
    device = lab.device()
    bundle = lab.bundle()
    name = lab.operator.call("GET", f"/distributionsets/{bundle}")["name"]
    assert device.send("PUT", "/installedBase", {"name": name, "version": "1.2.0"}).status_code == 201
    assert (lab.operator.installed(device.name) or {})["id"] == bundle
    assert device.send("PUT", "/installedBase", {"name": name, "version": "1.2.0"}).status_code == 200
    assert device.send("PUT", "/installedBase", {"name": name, "version": "9"}).status_code == 404

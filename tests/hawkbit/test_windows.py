"""Maintenance windows: what may be done before, during and after."""

from __future__ import annotations

import time

from hawkbit.lab import Lab, window

HOUR = 3600


def test_before_the_window_a_device_may_only_download(lab: Lab) -> None:
    device, action = lab.assigned(maintenanceWindow=window(time.time() + 24 * HOUR, "01:00:00"))
    found = device.document(action)["deployment"]
    assert (found["download"], found["update"], found["maintenanceWindow"]) == ("forced", "skip", "unavailable")


def test_in_the_window_it_may_install(lab: Lab) -> None:
    device, action = lab.assigned(maintenanceWindow=window(time.time() + 3, "01:00:00"))
    before = device.links()["deploymentBase"]
    assert device.document(action)["deployment"]["update"] == "skip"
    deadline = time.monotonic() + 30
    while device.document(action)["deployment"]["maintenanceWindow"] != "available":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert device.document(action)["deployment"]["update"] == "forced"
    assert device.links()["deploymentBase"] != before


def test_a_soft_action_stays_soft_in_the_window(lab: Lab) -> None:
    device, action = lab.assigned("soft", maintenanceWindow=window(time.time() - 60, "01:00:00"))
    found = device.document(action)["deployment"]
    assert (found["download"], found["update"], found["maintenanceWindow"]) == ("attempt", "attempt", "available")


def test_before_the_window_the_interval_is_shorter(lab: Lab) -> None:
    device, _ = lab.assigned(maintenanceWindow=window(time.time() + 300, "01:00:00"))
    hours, minutes, seconds = (int(part) for part in device.get().json()["config"]["polling"]["sleep"].split(":"))
    assert 60 <= hours * 3600 + minutes * 60 + seconds <= 100


def test_after_the_last_window_the_action_is_taken_back(lab: Lab) -> None:
    device, action = lab.assigned(maintenanceWindow=window(time.time() + 2, "00:00:01"))
    deadline = time.monotonic() + 30
    while device.offer() != f"cancelAction/{action}":
        assert time.monotonic() < deadline
        time.sleep(0.2)

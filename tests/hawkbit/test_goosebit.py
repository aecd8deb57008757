"""What goosebit makes of DDI v1, by hand: what our code may count on there, and what not."""

from __future__ import annotations

import hashlib

import pytest

from hawkbit.geese import HARDWARE, OLD, Geese

pytestmark = pytest.mark.feature("goosebit")


def test_a_device_that_has_not_told_what_it_is_is_asked_and_shall_come_back_soon(geese: Geese) -> None:
    device = geese.known(geese.name())
    base = device.get().json()
    assert (list(base["_links"]), base["config"]["polling"]["sleep"]) == (["configData"], "00:00:10")
    assert device.attributes({"sw_version": OLD, **HARDWARE}, mode="merge") == 200
    assert device.get().json() == {"config": {"polling": {"sleep": "00:01:00"}}, "_links": {}}


def test_attributes_without_a_version_leave_none(geese: Geese) -> None:
    device = geese.known(geese.name())
    device.attributes({"sw_version": OLD, **HARDWARE})
    device.attributes({"hw_boardname": "another"})
    assert geese.operator.device(device.name)["sw_version"] is None


def test_a_deployment_is_named_by_its_software_and_has_sha1_only(geese: Geese) -> None:
    device, software = geese.assigned()
    assert device.offer() == f"deploymentBase/{software.number}"
    found = device.document(software.number)
    assert (found["id"], found["deployment"]["update"]) == (str(software.number), "forced")
    ((artifact,),) = [chunk["artifacts"] for chunk in found["deployment"]["chunks"]]
    content = software.bundle.read_bytes()
    assert (artifact["filename"], artifact["size"]) == (software.bundle.name, len(content))
    assert artifact["hashes"] == {"sha1": hashlib.sha1(content, usedforsecurity=False).hexdigest()}
    assert {name: link["href"].rpartition("/")[2] for name, link in artifact["_links"].items()} == {
        "download": "download"
    }


def test_after_a_failure_nothing_is_offered_until_the_operator_forces_it_under_the_same_number(geese: Geese) -> None:
    device, software = geese.assigned()
    assert device.say(software.number, "closed", "failure", "no room") == 200
    assert (geese.state(device), device.offer()) == (("Error", OLD), "")
    assert "no room" in geese.operator.log(device.name)
    geese.operator.change(device.name, force_update=True)
    assert device.offer() == f"deploymentBase/{software.number}"


def test_what_is_installed_already_is_offered_again_by_force_under_the_same_number(geese: Geese) -> None:
    device, software = geese.assigned()
    device.say(software.number, "closed", "success")
    geese.operator.change(device.name, force_update=True)
    assert device.offer() == f"deploymentBase/{software.number}"


def test_the_end_may_be_told_twice(geese: Geese) -> None:
    device, software = geese.assigned()
    assert [device.say(software.number, "closed", "success") for _ in range(2)] == [200, 200]


@pytest.mark.parametrize("execution", ["download", "downloaded", "rejected"])
def test_other_feedback_is_taken_and_changes_nothing(geese: Geese, execution: str) -> None:
    device, software = geese.assigned()
    before = geese.state(device)
    assert device.say(software.number, execution) == 200
    assert (geese.state(device), device.offer()) == (before, f"deploymentBase/{software.number}")


def test_a_deployment_that_is_none_any_more_is_null(geese: Geese) -> None:
    device, software = geese.assigned()
    geese.operator.change(device.name, pinned=True)
    assert device.offer() == ""
    answer = device.get(f"/deploymentBase/{software.number}")
    assert (answer.status_code, answer.json()) == (200, None)


@pytest.mark.parametrize("resource", ["cancelAction", "confirmationBase", "installedBase"])
def test_there_are_no_cancellations_confirmations_and_installed_systems(geese: Geese, resource: str) -> None:
    device, software = geese.assigned()
    device.say(software.number, "closed", "success")
    assert resource not in device.links()
    assert device.get(f"/{resource}/{software.number}").status_code == 404

"""What goosebit makes of DDI v1, by hand: what our code may count on there, and what not."""

from __future__ import annotations

import hashlib

import pytest

from hawkbit.geese import HARDWARE, OLD, Geese

pytestmark = pytest.mark.feature("goosebit")


@pytest.mark.parametrize("auth", ["", "TargetToken wrong", "GatewayToken any"])
def test_a_poll_needs_the_token_of_the_device(geese: Geese, auth: str) -> None:
    name = geese.name()
    assert geese.known(name).get().status_code == 200
    assert geese.known(name, auth).get().status_code == 401


def test_a_token_does_not_make_an_unknown_device_known(geese: Geese) -> None:
    assert geese.known("stranger").get().status_code == 401


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


def test_a_file_has_an_etag_and_ranges(geese: Geese) -> None:
    device, software = geese.assigned()
    link, content = device.download(software.number), software.bundle.read_bytes()
    part = device.get(link, Range="bytes=100-299")
    assert (part.status_code, part.content) == (206, content[100:300])
    assert part.headers["Content-Range"] == f"bytes 100-299/{len(content)}"
    etag = part.headers["ETag"]
    assert device.get(link, Range="bytes=10-", If_Range=etag).content == content[10:]
    whole = device.get(link, Range="bytes=10-", If_Range='"another"')
    assert (whole.status_code, whole.content) == (200, content)


def test_success_makes_the_version_that_of_the_device(geese: Geese) -> None:
    device, software = geese.assigned()
    assert device.say(software.number, "proceeding") == 200
    assert geese.state(device) == ("Running", OLD)
    assert device.say(software.number, "closed", "success") == 200
    assert geese.state(device) == ("Finished", software.version)
    assert device.offer() == ""


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

"""What every server does that a device of ours can be updated from, by hand and with our own device."""

from __future__ import annotations

import hashlib
import re

import pytest
from fleet.systems import DEAD, SICK

from hawkbit.geese import OLD
from hawkbit.instances import Instance
from hawkbit.lab import Device
from hawkbit.offices import Assigned, Office, attributes
from hawkbit.relay import Relay

pytestmark = pytest.mark.feature("ddi")


@pytest.fixture
def offered(office: Office) -> tuple[Device, Assigned]:
    """A device by hand that has told what it is, and what is assigned to it."""
    device = office.device()
    attributes(device)
    return device, office.assign(device)


@pytest.mark.parametrize("auth", ["", "TargetToken wrong", "GatewayToken any"])
def test_a_poll_needs_the_token_of_the_device(office: Office, auth: str) -> None:
    device = office.device()
    assert device.get().status_code == 200
    assert Device(device.base, auth, device.name).get().status_code == 401


def test_a_token_does_not_make_an_unknown_device_known(instance: Instance) -> None:
    assert Device(instance.controller_url("stranger"), "TargetToken any", "stranger").get().status_code == 401


def test_a_device_is_asked_what_it_is_until_it_has_told(office: Office) -> None:
    device = office.device()
    base = device.get().json()
    assert list(base["_links"]) == ["configData"]
    assert re.fullmatch(r"\d\d:\d\d:\d\d", base["config"]["polling"]["sleep"])
    attributes(device)
    assert device.links() == {}


def test_a_deployment_names_its_file_with_size_and_digest(offered: tuple[Device, Assigned]) -> None:
    device, assigned = offered
    assert device.offer() == f"deploymentBase/{assigned.action}"
    found = device.document(assigned.action)
    assert (found["id"], found["deployment"]["update"]) == (str(assigned.action), "forced")
    ((artifact,),) = [chunk["artifacts"] for chunk in found["deployment"]["chunks"]]
    assert artifact["size"] == len(assigned.content)
    assert artifact["hashes"]["sha1"] == hashlib.sha1(assigned.content, usedforsecurity=False).hexdigest()


def test_a_file_has_an_etag_and_ranges(offered: tuple[Device, Assigned]) -> None:
    device, assigned = offered
    link, content = device.download(assigned.action), assigned.content
    part = device.get(link, Range="bytes=100-299")
    assert (part.status_code, part.content) == (206, content[100:300])
    assert part.headers["Content-Range"] == f"bytes 100-299/{len(content)}"
    assert device.get(link, Range="bytes=10-", If_Range=part.headers["ETag"]).content == content[10:]
    whole = device.get(link, Range="bytes=10-", If_Range='"another"')
    assert (whole.status_code, whole.content) == (200, content)


def test_proceeding_ends_nothing(office: Office, offered: tuple[Device, Assigned]) -> None:
    device, assigned = offered
    assert device.say(assigned.action, "proceeding") == 200
    assert (office.ended(device, assigned.action), device.offer()) == ("", f"deploymentBase/{assigned.action}")


def test_success_makes_the_version_that_of_the_device(office: Office, offered: tuple[Device, Assigned]) -> None:
    device, assigned = offered
    assert device.say(assigned.action, "closed", "success") == 200
    assert (office.ended(device, assigned.action), office.version(device)) == ("success", assigned.version)
    assert device.offer() == ""


def test_after_a_failure_nothing_is_offered_and_the_operator_reads_why(
    office: Office, offered: tuple[Device, Assigned]
) -> None:
    device, assigned = offered
    assert device.say(assigned.action, "closed", "failure", "no room") == 200
    assert (office.ended(device, assigned.action), office.version(device)) == ("failure", OLD)
    assert "no room" in office.told(device, assigned.action)
    assert device.offer() == ""


@pytest.mark.req("S02")
def test_our_device_reports_success_after_the_confirmed_boot(office: Office) -> None:
    device = office.simulated()
    assigned = office.assign(device)
    device.live()
    assert [word[1:] for word in device.seen.words] == [("closed success", assigned.version, True)]
    assert (office.ended(device, assigned.action), office.version(device)) == ("success", assigned.version)


def test_after_an_update_our_device_is_believed_and_nothing_is_offered_again(office: Office) -> None:
    device = office.simulated()
    assigned = office.assign(device)
    for _ in range(2):  # the second time its attributes arrive, and it restarts
        device.live()
    assert [word[1] for word in device.seen.words] == ["closed success"]
    assert office.version(device) == assigned.version


@pytest.mark.req("S07")
@pytest.mark.parametrize("health", [SICK, DEAD])
def test_a_fallback_of_our_device_is_a_failure_with_its_reason(office: Office, health: str) -> None:
    device = office.simulated()
    assigned = office.assign(device, health)
    device.live()
    assert (device.board.system.version, [word[1] for word in device.seen.words]) == (OLD, ["closed failure"])
    assert (office.ended(device, assigned.action), office.version(device)) == ("failure", OLD)
    told = office.told(device, assigned.action)
    assert "boot.fallback" in told or "health.failed" in told


@pytest.mark.feature("ddi", "entity-tags")
def test_a_download_that_breaks_goes_on_where_it_was(office: Office, instance: Instance) -> None:
    with Relay(instance.url, cut_after=9000) as relay:
        device = office.simulated(relay.url)
        assigned = office.assign(device)
        device.live()
    assert (device.board.system.version, relay.cuts) == (assigned.version, 1)
    before, after = relay.downloads[0][-1], relay.downloads[1][0]
    assert "if-range:" in after
    assert _first_byte(after) > _first_byte(before)
    assert office.ended(device, assigned.action) == "success"


def _first_byte(head: str) -> int:
    found = re.search("range: bytes=([0-9]+)-", head)
    assert found is not None, head
    return int(found[1])

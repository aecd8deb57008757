"""A poll: what it answers, whom it answers, and what it leaves behind."""

from __future__ import annotations

import uuid

import pytest
from support.management import until

from agent.hawkbit.model import parse_sleep
from hawkbit.lab import Lab


def test_a_poll_tells_the_interval_and_asks_a_new_device_for_its_attributes(lab: Lab) -> None:
    device = lab.device()
    answer = device.get()
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].split(";")[0] == "application/hal+json"
    document = answer.json()
    assert document["config"]["polling"]["sleep"].count(":") == 2
    assert list(document["_links"]) == ["configData"]
    assert document["_links"]["configData"]["href"] == f"{device.base}/configData"


def test_the_interval_is_what_the_operator_sets(lab: Lab) -> None:
    with lab.configured("pollingTime", "00:01:40", "00:05:00"):
        assert lab.device().get().json()["config"]["polling"]["sleep"] == "00:01:40"


@pytest.mark.feature("management", "iso-interval")
def test_an_interval_of_a_day_and_more_is_told_as_iso_8601_and_understood(lab: Lab) -> None:
    with lab.configured("pollingTime", "PT36H", "00:05:00"):
        told = lab.device().get().json()["config"]["polling"]["sleep"]
    assert told.startswith("P")
    assert parse_sleep(told) == 36 * 3600


@pytest.mark.feature("management", "poll-deviation")
def test_an_interval_with_a_deviation_is_another_one_for_each_poll_within_its_bounds(lab: Lab) -> None:
    device = lab.device()
    with lab.configured("pollingTime", "01:00:00~10%", "00:05:00"):
        told = {device.get().json()["config"]["polling"]["sleep"] for _ in range(12)}
    seconds = {
        sum(int(part) * unit for part, unit in zip(each.split(":"), (3600, 60, 1), strict=True)) for each in told
    }
    assert len(seconds) > 1
    assert all(3240 <= each <= 3960 for each in seconds)


def test_without_a_token_the_answer_is_401_and_empty(lab: Lab) -> None:
    answer = lab.known(lab.device().name, auth="").get()
    assert (answer.status_code, answer.content) == (401, b"")
    assert "WWW-Authenticate" not in answer.headers


def test_a_wrong_token_is_401(lab: Lab) -> None:
    assert lab.known(lab.device().name, auth="TargetToken wrong").get().status_code == 401


def test_a_token_of_another_device_is_401(lab: Lab) -> None:
    one, other = lab.device(), lab.device()
    assert lab.known(one.name, auth=f"TargetToken token-of-{other.name}").get().status_code == 401


def test_a_target_token_does_not_make_an_unknown_device_known(lab: Lab) -> None:
    assert lab.known(f"stranger-{uuid.uuid4().hex}").get().status_code == 401


def test_the_gateway_token_makes_an_unknown_device_known(lab: Lab) -> None:
    name = f"plugged-{uuid.uuid4().hex[:8]}"
    assert lab.known(name, auth=f"GatewayToken {lab.instance.gateway_token}").get().status_code == 200
    assert lab.operator.call("GET", f"/targets/{name}")["updateStatus"] == "registered"


def test_a_first_poll_registers_a_device_that_the_operator_made(lab: Lab) -> None:
    device = lab.device()
    assert lab.operator.call("GET", f"/targets/{device.name}")["updateStatus"] == "unknown"
    device.get()
    assert lab.operator.call("GET", f"/targets/{device.name}")["updateStatus"] == "registered"


def test_the_same_answer_has_the_same_etag_and_is_not_sent_again(lab: Lab) -> None:
    device = lab.device()
    first = device.get()
    assert first.headers["ETag"]
    again = device.get(If_None_Match=first.headers["ETag"])
    assert (again.status_code, again.content) == (304, b"")


def test_news_change_the_etag(lab: Lab) -> None:
    device = lab.device()
    first = device.get()
    lab.operator.assign(lab.bundle(), device.name)
    assert device.get(If_None_Match=first.headers["ETag"]).status_code == 200


def test_only_get_is_a_poll(lab: Lab) -> None:
    assert lab.device().send("POST", "", {}).status_code == 405


def test_a_poll_names_exactly_one_thing_to_do(lab: Lab) -> None:
    device, action = lab.assigned()
    assert device.offer() == f"deploymentBase/{action}"
    assert "?c=" in device.links()["deploymentBase"]


def test_a_device_that_does_not_poll_becomes_overdue(lab: Lab) -> None:
    device = lab.device()

    def seen() -> dict[str, object]:
        return dict(lab.operator.call("GET", f"/targets/{device.name}")["pollStatus"])

    device.get()
    assert seen()["overdue"] is False
    assert int(str(seen()["lastRequestAt"])) < int(str(seen()["nextExpectedRequestAt"]))
    with (
        lab.configured("pollingOverdueTime", "00:00:01", "00:05:00"),
        lab.configured("pollingTime", "00:00:01", "00:05:00"),
    ):
        until("it is overdue", lambda: seen()["overdue"] is True)


@pytest.mark.req("C10")
@pytest.mark.feature("management", "x-controller-id")
def test_a_proxy_that_checks_certificates_tells_who_a_device_is_and_who_vouches_for_it(lab: Lab) -> None:
    device, other = lab.known(lab.device().name, auth=""), lab.device()

    def ask(name: str, authority: str) -> int:
        return device.get(X_Controller_Id=name, X_Authority=authority).status_code

    lab.operator.configure("authentication.header.authority", "Acme")
    with lab.configured("authentication.header.enabled", True, False):
        assert ask(device.name, "acme") == 200
        assert ask(device.name, "another authority") == 401
        assert ask(other.name, "acme") == 401
    assert ask(device.name, "acme") == 401

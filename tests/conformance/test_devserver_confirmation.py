"""The development server's confirmation flow follows hawkBit's: one test for each promise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.ddi import TOKEN, Device, kinds, links, small_file
from support.management import Management

from agent.demo.server import DevServer

FLOW = "user.confirmation.flow.enabled"


@pytest.fixture
def server() -> Iterator[DevServer]:
    with DevServer(password="pw") as running:
        running.add_target("dev1", TOKEN)
        running.state.config.set(FLOW, True)
        yield running


@pytest.fixture
def action(server: DevServer, tmp_path: Path) -> str:
    return server.assign("dev1", server.upload(small_file(tmp_path)))


def answered(device: Device, action: str, confirmation: str, **more: Any) -> int:
    return device.send("POST", f"/confirmationBase/{action}/feedback", {"confirmation": confirmation, **more})


def test_an_action_waits_and_is_shown_as_a_confirmation(server: DevServer, device: Device, action: str) -> None:
    assert server.action_status(action) == "WAIT_FOR_CONFIRMATION"
    assert links(device) == {"confirmationBase", "configData"}
    href = device.get().json()["_links"]["confirmationBase"]["href"]
    assert f"/confirmationBase/{action}?c=" in href
    document = device.get(f"{href}&actionHistory=-1").json()
    assert document["id"] == action
    assert document["confirmation"]["chunks"][0]["artifacts"][0]["size"] == 1024
    assert document["actionHistory"]["status"] == "WAIT_FOR_CONFIRMATION"
    assert "deployment" not in document


def test_an_action_that_waits_is_no_deployment(device: Device, action: str) -> None:
    assert device.get(f"/deploymentBase/{action}").status_code == 404
    assert device.raw(action, "proceeding") == 404


def test_confirmed_lets_it_run(server: DevServer, device: Device, action: str) -> None:
    assert answered(device, action, "confirmed", code=7, details=["yes"]) == 200
    assert "deploymentBase" in links(device)
    last = server.history(action)[-1]
    assert (last.type, last.messages[0], last.messages[-1]) == ("RUNNING", "yes", "Confirmation status code: 7")
    assert answered(device, action, "confirmed") == 404
    assert device.get(f"/confirmationBase/{action}").status_code == 404


def test_denied_stays_waiting_and_is_offered_again(server: DevServer, device: Device, action: str) -> None:
    for _ in range(2):
        assert answered(device, action, "denied", details=["no"]) == 200
        assert "confirmationBase" in links(device)
    assert kinds(server, action) == ["WAIT_FOR_CONFIRMATION"] * 3
    assert answered(device, action, "confirmed") == 200


def test_answers_that_cannot_be_taken(server: DevServer, device: Device, action: str) -> None:
    assert answered(device, action, "perhaps") == 400
    assert device.send("POST", f"/confirmationBase/{action}/feedback", {}) == 400
    assert device.send("PUT", f"/confirmationBase/{action}/feedback", {}) == 405
    assert answered(device, "999", "confirmed") == 404
    server.cancel(action)
    assert answered(device, action, "confirmed") == 404
    server.cancel(action, force=True)
    assert answered(device, action, "confirmed") == 410


def test_the_quota_counts_for_denials_too(server: DevServer, device: Device, action: str) -> None:
    server.state.max_entries = 2
    assert [answered(device, action, "denied") for _ in range(2)] == [200, 429]
    assert answered(device, action, "denied", details=["x"] * 50) == 429


def test_auto_confirmation_confirms_what_waits_and_what_comes(
    server: DevServer, device: Device, action: str, tmp_path: Path
) -> None:
    base = device.get("/confirmationBase").json()
    assert base["autoConfirm"] == {"active": False, "activatedAt": 0}
    assert set(base["_links"]) == {"activateAutoConfirm", "confirmationBase"}
    switch = {"initiator": "me", "remark": "why not"}
    assert device.send("POST", "/confirmationBase/activateAutoConfirm", switch) == 200
    assert device.send("POST", "/confirmationBase/activateAutoConfirm", switch) == 409
    assert "deploymentBase" in links(device)
    assert "confirmed by initiator 'me'" in server.history(action)[-1].messages[0]
    base = device.get("/confirmationBase").json()
    assert (base["autoConfirm"]["active"], base["autoConfirm"]["remark"]) == (True, "why not")
    assert set(base["_links"]) == {"deactivateAutoConfirm"}
    assert device.raw(action, "closed", "success") == 200
    second = server.assign("dev1", server.upload(small_file(tmp_path), version="2"))
    assert server.action_status(second) == "RUNNING"
    assert kinds(server, second) == ["WAIT_FOR_CONFIRMATION"]
    assert device.send("POST", "/confirmationBase/deactivateAutoConfirm", b"") == 200
    assert device.send("POST", "/confirmationBase/deactivateAutoConfirm", b"") == 200
    assert device.raw(second, "closed", "success") == 200
    third = server.assign("dev1", server.upload(small_file(tmp_path), version="3"))
    assert server.action_status(third) == "WAIT_FOR_CONFIRMATION"


def test_auto_confirmation_needs_no_body(device: Device) -> None:
    assert device.send("POST", "/confirmationBase/activateAutoConfirm", b"") == 200
    state = device.get("/confirmationBase").json()["autoConfirm"]
    assert "without providing a remark" in state["remark"]
    assert "initiator" not in state


def test_an_assignment_may_do_without_confirmation(server: DevServer, office: Management) -> None:
    ds = office.distribution("d", "1", [office.module("m", "1")])
    action = office.assign(ds, "dev1", confirmationRequired=False)
    assert office.action("dev1", action)["status"] == "running"
    assert "Assignment confirmed by initiator [admin]." in office.messages("dev1", action)


def test_an_operator_may_answer_for_the_device(office: Management, device: Device, action: str) -> None:
    path = f"/targets/dev1/actions/{action}/confirmation"
    office.call("PUT", path, {"confirmation": "denied"}, expect=(204,))
    assert "confirmationBase" in links(device)
    office.call("PUT", path, {"confirmation": "confirmed"}, expect=(204,))
    assert "deploymentBase" in links(device)
    office.call("PUT", path, {"confirmation": "confirmed"}, expect=(404,))
    office.call("PUT", "/targets/other/actions/1/confirmation", {"confirmation": "confirmed"}, expect=(404,))


def test_an_operator_may_switch_auto_confirmation(office: Management, device: Device, action: str) -> None:
    assert office.call("GET", "/targets/dev1/autoConfirm") == {"active": False}
    office.call("POST", "/targets/dev1/autoConfirm/activate", {"initiator": "op"}, expect=(204,))
    office.call("POST", "/targets/dev1/autoConfirm/activate", expect=(409,))
    assert office.call("GET", "/targets/dev1/autoConfirm")["initiator"] == "op"
    assert office.call("GET", "/targets/dev1")["autoConfirmActive"] is True
    assert "deploymentBase" in links(device)
    office.call("POST", "/targets/dev1/autoConfirm/deactivate", expect=(204,))
    assert office.call("GET", "/targets/dev1")["autoConfirmActive"] is False


def test_without_the_flow_nothing_waits_and_the_resource_is_there_all_the_same(
    server: DevServer, device: Device, tmp_path: Path
) -> None:
    server.state.config.set(FLOW, False)
    action = server.assign("dev1", server.upload(small_file(tmp_path)))
    assert "deploymentBase" in links(device)
    assert answered(device, action, "confirmed") == 404
    assert device.get("/confirmationBase").status_code == 200

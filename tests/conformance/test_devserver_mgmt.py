"""The development server can be operated with hawkBit's Management API: one test for each promise."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from support.ddi import TOKEN, Device, small_file
from support.management import Management

from agent.demo.server import DevServer
from agent.hawkbit import feedback

DATA = bytes(range(256)) * 40


@pytest.fixture
def server() -> Iterator[DevServer]:
    with DevServer(target_token=TOKEN, password="pw") as running:
        running.add_target("dev1")
        yield running


@pytest.fixture
def device() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        session.headers["Authorization"] = f"TargetToken {TOKEN}"
        yield session


@pytest.fixture
def operator(server: DevServer) -> Iterator[Any]:
    with requests.Session() as session:
        session.trust_env = False

        def call(method: str, path: str, status: int = 200, **options: Any) -> Any:
            answer = session.request(method, f"{server.url}/rest/v1{path}", auth=("admin", "pw"), timeout=10, **options)
            assert answer.status_code == status, answer.text
            return answer.json() if answer.content else None

        yield call


@pytest.mark.parametrize("multipart", [True, False])
def test_an_operator_can_do_it_all(server: DevServer, device: requests.Session, operator: Any, multipart: bool) -> None:
    made = operator("POST", "/targets", 201, json=[{"controllerId": "d2", "name": "d2", "securityToken": "t2"}])
    assert made[0]["updateStatus"] == "unknown"
    module = operator("POST", "/softwaremodules", 201, json=[{"name": "rootfs", "version": "1", "type": "os"}])[0]["id"]
    pair = {"key": "cra.severity", "value": "low", "targetVisible": True}
    operator("POST", f"/softwaremodules/{module}/metadata", 201, json=[pair])
    path = f"/softwaremodules/{module}/artifacts?filename=b.raucb&sha256sum={hashlib.sha256(DATA).hexdigest()}"
    upload = {"files": {"file": ("x", DATA)}} if multipart else {"data": DATA}
    assert operator("POST", path, 201, **upload)["size"] == len(DATA)
    made = operator(
        "POST", "/distributionsets", 201, json=[{"name": "fw", "version": "1", "modules": [{"id": module}]}]
    )
    assigned = operator("POST", f"/distributionsets/{made[0]['id']}/assignedTargets", json=[{"id": "d2"}])
    again = operator("POST", f"/distributionsets/{made[0]['id']}/assignedTargets", json=[{"id": "d2"}])
    assert (assigned["assigned"], again["assigned"], again["alreadyAssigned"]) == (1, 0, 1)
    action = assigned["assignedActions"][0]["id"]
    device.headers["Authorization"] = "TargetToken t2"
    document = device.get(f"{server.controller_url('d2')}/deploymentBase/{action}", timeout=10).json()
    chunk = document["deployment"]["chunks"][0]
    assert chunk["metadata"] == [{"key": "cra.severity", "value": "low"}]
    assert device.get(chunk["artifacts"][0]["_links"]["download-http"]["href"], timeout=10).content == DATA
    assert operator("PUT", f"/targets/d2/actions/{action}", json={"forceType": "forced"})["forceType"] == "forced"
    operator("PUT", f"/targets/d2/actions/{action}", 400, json={"forceType": "soft"})
    assert operator("GET", f"/targets/d2/actions/{action}")["status"] == "retrieved"
    assert operator("GET", "/targets/d2/actions")["total"] == 1
    listed = operator("GET", f"/targets/d2/actions/{action}/status?limit=2")
    assert [entry["type"] for entry in listed["content"]] == ["download", "retrieved"]
    operator("DELETE", f"/targets/d2/actions/{action}", 204)
    assert operator("GET", f"/targets/d2/actions/{action}")["type"] == "cancel"
    operator("DELETE", f"/targets/d2/actions/{action}?force=true", 204)
    operator("DELETE", f"/targets/d2/actions/{action}", 405)
    assert operator("GET", "/targets/d2/attributes", 204) is None
    assert operator("GET", "/targets/d2/installedDS", 204) is None
    operator("DELETE", "/targets/d2", 204)
    operator("GET", "/targets/d2", 404)


def test_an_operator_without_the_password_is_refused(server: DevServer) -> None:
    with requests.Session() as session:
        session.trust_env = False
        for auth in (None, ("admin", "admin"), ("x", "pw")):
            assert session.get(f"{server.url}/rest/v1/targets", auth=auth, timeout=10).status_code == 401


def test_requests_that_make_no_sense_are_400_404_405_409(server: DevServer, operator: Any) -> None:
    operator("POST", "/targets", 400, data=b"{")
    operator("POST", "/targets", 400, json=[{}])
    operator("POST", "/targets", 409, json=[{"controllerId": "dev1"}])
    operator("PUT", "/targets", 405)
    operator("GET", "/nothing", 404)
    operator("POST", "/softwaremodules/99/artifacts?filename=x", 404, data=b"x")
    operator("POST", "/distributionsets/99/assignedTargets", 404, json=[])
    module = operator("POST", "/softwaremodules", 201, json=[{"name": "n", "version": "1", "type": "os"}])[0]["id"]
    operator("POST", f"/softwaremodules/{module}/artifacts", 400, data=b"x")
    operator("POST", f"/softwaremodules/{module}/artifacts?filename=x&sha256sum=00", 400, data=b"x")
    operator("POST", f"/softwaremodules/{module}/artifacts?filename=../x", 400, data=b"x")


def test_the_tenants_configuration_is_typed_and_unknown_keys_are_refused(office: Management) -> None:
    key = "user.confirmation.flow.enabled"
    assert office.call("GET", f"/system/configs/{key}") == {"value": False, "global": True}
    office.configure(key, True)
    assert office.call("GET", f"/system/configs/{key}") == {"value": True, "global": False}
    for name, value in (
        (key, "true"),
        ("pollingTime", "00:00:00"),
        ("pollingTime", "24:00:00"),
        ("pollingTime", "soon"),
        ("pollingTime", True),
        ("pollingOverdueTime", "x"),
        ("maintenanceWindowPollCount", 0),
        ("rollout.approval.enabled", True),
        ("multi.assignments.enabled", True),
        ("anonymous.download.enabled", True),
    ):
        office.call("PUT", f"/system/configs/{name}", {"value": value}, expect=(400,))
    office.call("PUT", f"/system/configs/{key}", {}, expect=(400,))
    office.call("GET", "/system/configs/no.such.key", expect=(400,))
    office.call("DELETE", f"/system/configs/{key}")
    assert office.call("GET", "/system/configs")[key] == {"value": False, "global": True}


def test_a_batch_of_configuration_is_taken_whole_or_not_at_all(office: Management) -> None:
    office.call("PUT", "/system/configs", {"pollingTime": "00:00:10", "pollingOverdueTime": "00:01:00"})
    office.call("PUT", "/system/configs", {"pollingTime": "00:00:20", "no.such.key": 1}, expect=(400,))
    assert office.call("GET", "/system/configs/pollingTime")["value"] == "00:00:10"


def test_lists_come_in_pages_and_sorted(office: Management) -> None:
    for n in range(5):
        office.target(f"p{n}")
    page = office.call("GET", "/targets?offset=1&limit=2&sort=controllerId:DESC")
    assert ([entry["controllerId"] for entry in page["content"]], page["total"], page["size"]) == (["p3", "p2"], 6, 2)
    office.call("GET", "/targets?sort=nothing:DESC", expect=(400,))
    office.call("GET", "/targets?sort=name:SIDEWAYS", expect=(400,))
    office.call("GET", "/targets?limit=x", expect=(400,))


def test_what_was_assigned_is_locked_and_what_was_deleted_is_gone(office: Management, tmp_path: Path) -> None:
    module = office.module("m", "1")
    artifact = office.artifact(module, small_file(tmp_path))
    assert office.call("GET", f"/softwaremodules/{module}/artifacts/{artifact}")["size"] == 1024
    ds = office.distribution("d", "1", [module])
    office.assign(ds, "dev1")
    office.call("DELETE", f"/softwaremodules/{module}/artifacts/{artifact}", expect=(423,))
    office.call("DELETE", f"/distributionsets/{ds}")
    office.call("DELETE", f"/softwaremodules/{module}")
    office.call("GET", f"/distributionsets/{ds}", expect=(404,))
    office.call("DELETE", f"/softwaremodules/{module}")
    assert office.call("GET", f"/softwaremodules/{module}")["deleted"] is True, "what was in a set is only marked"
    assert office.call("GET", "/softwaremodules")["content"] == []
    loose = office.module("n", "1")
    office.call("DELETE", f"/softwaremodules/{loose}")
    office.call("GET", f"/softwaremodules/{loose}", expect=(404,))
    office.call("POST", f"/distributionsets/{ds}/assignedTargets", [{"id": "dev1"}], expect=(404,))
    assert [found["id"] for found in office.call("GET", "/distributionsets")["content"]] == []


def test_targets_can_be_changed_and_asked_for_their_attributes(server: DevServer, office: Management) -> None:
    server.target("dev1").request_attributes = False
    office.call("PUT", "/targets/dev1", {"name": "A", "requestAttributes": True, "group": "ring0"})
    shown = office.call("GET", "/targets/dev1")
    assert (shown["name"], shown["requestAttributes"], shown["group"]) == ("A", True, "ring0")
    assert "configData" in Device(server).get().json()["_links"]


def test_a_release_that_is_recalled_is_assigned_no_more_and_its_actions_are_cancelled(
    server: DevServer, office: Management
) -> None:
    ds = office.distribution("d", "1", [office.module("m", "1")])
    action = office.assign(ds, "dev1")
    office.call("POST", f"/distributionsets/{ds}/invalidate", {"actionCancelationType": "soft"})
    assert office.action("dev1", action)["status"] == "canceling"
    office.target("dev2", token=TOKEN)
    office.call("POST", f"/distributionsets/{ds}/assignedTargets", [{"id": "dev2"}], expect=(400,))
    other = office.distribution("d", "2", [office.module("m", "2")])
    second = office.assign(other, "dev2")
    office.call("POST", f"/distributionsets/{other}/invalidate", {"actionCancelationType": "force"})
    assert office.action("dev2", second)["status"] == "canceled"
    assert Device(server, "dev2").say(feedback.proceeding(str(second))) == 410
    office.call("POST", f"/distributionsets/{other}/invalidate", {"actionCancelationType": "hard"}, expect=(400,))


def test_an_update_without_the_server_can_be_recorded(server: DevServer, office: Management) -> None:
    ds = office.distribution("d", "1", [office.module("m", "1")])
    office.call("POST", f"/distributionsets/{ds}/assignedTargets?offline=true", [{"id": "dev1"}])
    found = office.installed("dev1")
    assert found is not None
    assert (found["version"], office.call("GET", "/targets/dev1")["updateStatus"]) == ("1", "in_sync")
    assert "deploymentBase" not in Device(server).get().json()["_links"]


def test_a_target_that_is_named_twice_or_not_known(office: Management) -> None:
    ds = office.distribution("d", "1", [office.module("m", "1")])
    path = f"/distributionsets/{ds}/assignedTargets"
    office.call("POST", path, [{"id": "dev1"}, {"id": "dev1"}], expect=(400,))
    assert office.call("POST", path, [{"id": "nobody"}])["total"] == 0
    empty = office.distribution("e", "1", [])
    office.call("POST", f"/distributionsets/{empty}/assignedTargets", [{"id": "dev1"}], expect=(400,))


def test_a_target_is_overdue_when_it_has_not_polled_for_long(server: DevServer, office: Management) -> None:
    office.call("PUT", "/system/configs", {"pollingTime": "00:00:10", "pollingOverdueTime": "00:00:05"})
    assert "pollStatus" not in office.call("GET", "/targets/dev1")
    Device(server).get()
    assert office.call("GET", "/targets/dev1")["pollStatus"]["overdue"] is False
    polled = server.target("dev1").polled_at
    assert polled is not None
    server.target("dev1").polled_at = polled - 16_000
    assert office.call("GET", "/targets/dev1")["pollStatus"]["overdue"] is True

"""How actions of the development server meet each other follows hawkBit: one test for each promise."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.ddi import TOKEN, Device, kinds, links, small_file
from support.management import Management

from agent.demo.server import DevServer
from agent.hawkbit import feedback


@pytest.fixture
def server() -> Iterator[DevServer]:
    with DevServer(password="pw", gateway_token="gate") as running:
        running.add_target("dev1", TOKEN)
        yield running


def release(office: Management, version: str, **more: object) -> int:
    return office.distribution("d", version, [office.module("m", version)], **more)


def current(device: Device) -> str:
    """The path of the one link to an action, without the query."""
    found = device.get().json()["_links"]
    for name in ("confirmationBase", "cancelAction", "deploymentBase"):
        if name in found:
            return str(found[name]["href"]).split("/v1/dev1/")[1].split("?")[0]
    return ""


def test_of_two_assignments_the_first_is_cancelled_first(office: Management, device: Device) -> None:
    first = office.assign(release(office, "1"), "dev1")
    second = office.assign(release(office, "2"), "dev1")
    assert current(device) == f"cancelAction/{first}"
    assert device.raw(str(first), "closed", "success", "cancelAction") == 200
    assert current(device) == f"deploymentBase/{second}"


def test_a_required_migration_step_is_not_cancelled_but_queued(office: Management, device: Device) -> None:
    first = office.assign(release(office, "1", requiredMigrationStep=True), "dev1")
    second = office.assign(release(office, "2"), "dev1")
    assert current(device) == f"deploymentBase/{first}"
    assert device.raw(str(first), "closed", "success") == 200
    assert current(device) == f"deploymentBase/{second}"
    found = office.assigned("dev1")
    assert found is not None
    assert found["version"] == "2"


def test_with_autoclose_the_first_vanishes(office: Management, device: Device) -> None:
    office.configure("repository.actions.autoclose.enabled", True)
    first = office.assign(release(office, "1"), "dev1")
    second = office.assign(release(office, "2"), "dev1")
    assert current(device) == f"deploymentBase/{second}"
    assert device.get(f"/deploymentBase/{first}").status_code == 404
    assert device.raw(str(first), "closed", "success") == 410


def test_a_cancellation_that_is_rejected_brings_the_deployment_back(office: Management, device: Device) -> None:
    action = office.assign(release(office, "1"), "dev1")
    office.cancel("dev1", action)
    assert device.raw(str(action), "rejected", "none", "cancelAction") == 200
    assert current(device) == f"deploymentBase/{action}"
    assert office.action("dev1", action)["type"] == "update"


@pytest.mark.parametrize(
    ("execution", "finished", "status"),
    [
        ("closed", "success", "canceled"),
        ("closed", "none", "canceled"),
        ("closed", "failure", "running"),
        ("rejected", "none", "running"),
        ("canceled", "success", "canceling"),
        ("proceeding", "none", "canceling"),
        ("downloaded", "success", "canceling"),
    ],
)
def test_what_ends_a_cancellation(
    office: Management, device: Device, execution: str, finished: str, status: str
) -> None:
    action = office.assign(release(office, "1"), "dev1")
    office.cancel("dev1", action)
    assert device.raw(str(action), execution, finished, "cancelAction") == 200
    assert office.action("dev1", action)["status"] == status


def test_a_cancellation_may_be_confirmed_again(office: Management, device: Device) -> None:
    action = office.assign(release(office, "1"), "dev1")
    office.cancel("dev1", action)
    assert [device.raw(str(action), "closed", "success", "cancelAction") for _ in range(2)] == [200, 200]
    assert device.get(f"/cancelAction/{action}").status_code == 200
    assert "cancelAction" not in links(device)


def test_closing_the_deployment_wins_over_its_cancellation(office: Management, device: Device) -> None:
    action = office.assign(release(office, "1"), "dev1")
    office.cancel("dev1", action)
    assert device.raw(str(action), "closed", "success") == 200
    assert office.action("dev1", action)["status"] == "finished"
    assert device.raw(str(action), "closed", "success", "cancelAction") == 405


def test_reading_a_closed_deployment_changes_its_status(office: Management, device: Device) -> None:
    # a fact of hawkBit's handleRegisterRetrieved, which does not ask whether the action is active
    action = office.assign(release(office, "1"), "dev1")
    assert device.raw(str(action), "closed", "success") == 200
    assert "installedBase" in links(device)
    assert device.get(f"/deploymentBase/{action}").status_code == 200
    assert office.action("dev1", action)["status"] == "retrieved"
    assert "installedBase" not in links(device)


def test_installed_base_is_what_is_over_and_was_not_cancelled(office: Management, device: Device) -> None:
    action = office.assign(release(office, "1"), "dev1")
    assert device.get(f"/installedBase/{action}").status_code == 404
    assert device.raw(str(action), "proceeding", details=["half"]) == 200
    assert device.raw(str(action), "closed", "success", details=["done"]) == 200
    document = device.get(f"/installedBase/{action}?actionHistory=2").json()
    assert document["actionHistory"] == {"status": "FINISHED", "messages": ["done", "half"]}
    second = office.assign(release(office, "2"), "dev1")
    office.cancel("dev1", second)
    office.cancel("dev1", second, force=True)
    assert device.get(f"/installedBase/{second}").status_code == 404


def test_a_device_may_report_what_was_installed_without_the_server(office: Management, device: Device) -> None:
    release(office, "1")
    said = {"name": "d", "version": "1"}
    assert device.send("PUT", "/installedBase", said) == 201
    assert device.send("PUT", "/installedBase", said) == 200
    assert device.send("PUT", "/installedBase", {"name": "d", "version": "9"}) == 404
    assert device.send("PUT", "/installedBase", {"name": "d"}) == 400
    assert device.send("PUT", "/installedBase", said, "application/hal+json") == 415
    assert device.send("POST", "/installedBase", said) == 405
    found = office.installed("dev1")
    assert found is not None
    assert found["version"] == "1"
    assert "installedBase" in links(device)


def test_such_a_report_does_not_disturb_an_update(office: Management, device: Device) -> None:
    release(office, "1")
    action = office.assign(release(office, "2"), "dev1")
    assert device.send("PUT", "/installedBase", {"name": "d", "version": "1"}) == 200
    assert current(device) == f"deploymentBase/{action}"
    assert office.installed("dev1") is None


def test_a_download_only_action_brings_no_installed_base(office: Management, device: Device) -> None:
    action = office.assign(release(office, "1"), "dev1", "downloadonly")
    assert device.raw(str(action), "downloaded", "success") == 200
    assert office.action("dev1", action)["status"] == "downloaded"
    assert links(device) == {"configData"}
    assert device.raw(str(action), "closed", "success") == 410


def test_silence_is_filled_by_the_server_and_a_code_is_told(
    server: DevServer, office: Management, device: Device
) -> None:
    action = str(office.assign(release(office, "1"), "dev1"))
    for execution in ("proceeding", "rejected", "download", "downloaded", "canceled"):
        assert device.raw(action, execution) == 200
    assert all(entry.messages[0].startswith("Update Server: Target") for entry in server.history(action)[1:])
    assert device.raw(action, "proceeding", code=200) == 200
    assert server.history(action)[-1].messages == ("Device reported status code: 200",)
    assert office.action("dev1", int(action))["lastStatusCode"] == 200
    assert device.raw(action, "proceeding", details=["x"] * 50, code=1) == 429
    assert kinds(server, action)[1:] == ["RUNNING", "WARNING", "DOWNLOAD", "DOWNLOADED", "CANCELED", "RUNNING"]


def test_the_quota_of_older_servers_is_answered_with_403(server: DevServer, office: Management, device: Device) -> None:
    server.state.max_entries, server.state.quota_status = 1, 403
    action = str(office.assign(release(office, "1"), "dev1"))
    assert device.raw(action, "proceeding") == 403
    server.state.max_entries = 0
    assert device.raw(action, "proceeding") == 200
    assert device.say(feedback.success(action)) == 200


def test_a_thousand_entries_are_the_most_and_closed_is_still_taken(
    server: DevServer, office: Management, device: Device
) -> None:
    action = str(office.assign(release(office, "1"), "dev1"))
    with server.lock:
        for _ in range(998):
            server.state.record(server.state.actions[action], "RUNNING", ("x",))
    assert [device.raw(action, "proceeding") for _ in range(2)] == [200, 429]
    assert device.raw(action, "closed", "success") == 200


def test_only_a_poll_makes_a_device_known(server: DevServer) -> None:
    new = Device(server, "new", "GatewayToken gate")
    assert new.send("PUT", "/configData", {"data": {"a": "1"}}) == 404
    assert new.get("/confirmationBase").status_code == 200
    assert new.send("PUT", "/configData", {"data": {"a": "1"}}) == 200
    assert server.target("new").description == "Plug and Play target: new"


def test_what_is_accepted_decides_the_kind_of_answer(device: Device) -> None:
    assert device.get(Accept="application/json").headers["Content-Type"] == "application/json"
    assert device.get(Accept="application/hal+json, */*").headers["Content-Type"] == "application/hal+json"
    assert device.get(Accept="application/cbor").status_code == 406


def test_a_sleep_of_a_day_is_told_in_iso_8601(server: DevServer, device: Device) -> None:
    server.state.config.most_polling = 400_000
    for given, told in (("24:00:00", "PT24H"), ("PT25H30M5S", "PT25H30M5S"), ("P1DT2H", "PT26H"), ("90", "00:01:30")):
        server.state.config.set("pollingTime", given)
        assert device.get().json()["config"]["polling"]["sleep"] == told


def test_a_deviation_varies_the_sleep(server: DevServer, device: Device) -> None:
    server.state.config.set("pollingTime", "00:16:40~50%")
    told = {device.get().json()["config"]["polling"]["sleep"] for _ in range(20)}
    assert len(told) > 1
    assert all("00:08:20" <= sleep <= "00:25:00" for sleep in told)


def test_artifacts_are_listed_for_an_open_or_installed_action(office: Management, device: Device) -> None:
    module = office.module("m", "1")
    action = office.assign(office.distribution("d", "1", [module]), "dev1")
    path = f"/softwaremodules/{module}/artifacts"
    assert device.get(path).json() == []
    assert device.raw(str(action), "closed", "success") == 200
    assert device.get(path).status_code == 200
    other = office.module("m", "2")
    assert device.get(f"/softwaremodules/{other}/artifacts").status_code == 404


def test_module_types_have_their_older_names_for_devices(office: Management, device: Device) -> None:
    modules = [office.module("m", "1", type=kind) for kind in ("os", "application", "runtime")]
    action = office.assign(office.distribution("d", "1", modules), "dev1")
    chunks = device.get(f"/deploymentBase/{action}").json()["deployment"]["chunks"]
    assert [chunk["part"] for chunk in chunks] == ["os", "bApp", "jvm"]


def test_names_are_encoded_in_links(server: DevServer, office: Management, tmp_path: Path) -> None:
    module = office.module("m", "1")
    office.artifact(module, small_file(tmp_path), "a b.raucb")
    office.target("dev@1", token=TOKEN)
    device = Device(server, "dev@1")
    action = office.assign(office.distribution("d", "1", [module]), "dev@1")
    found = device.get(f"/deploymentBase/{action}").json()["deployment"]["chunks"][0]["artifacts"][0]
    assert found["filename"] == "a b.raucb"
    assert device.get(found["_links"]["download-http"]["href"]).status_code == 200


@pytest.mark.parametrize(
    "path", ["//deploymentBase/1", "/configData;a=1", "/softwaremodules/1/artifacts/..%2Fx", "/a\\b"]
)
def test_addresses_that_springs_firewall_rejects(server: DevServer, path: str) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw:
        raw.sendall(f"GET /DEFAULT/controller/v1/dev1{path} HTTP/1.0\r\n\r\n".encode())
        assert raw.recv(12) == b"HTTP/1.1 400"

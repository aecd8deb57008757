"""The development server keeps hawkBit's rules for devices (DDI v1): one test for each promise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.ddi import TOKEN, Device, kinds, links

from agent.demo.server import DevServer
from agent.hawkbit import feedback
from agent.hawkbit.model import choose_artifact, download_link, parse_base, parse_cancel, parse_deployment

GATEWAY = "gate"


@pytest.fixture
def server() -> Iterator[DevServer]:
    with DevServer(gateway_token=GATEWAY) as running:
        running.add_target("dev1", TOKEN)
        yield running


@pytest.fixture
def action(server: DevServer, tmp_path: Path) -> str:
    path = tmp_path / "b.raucb"
    path.write_bytes(bytes(range(256)) * 4)
    module = server.upload(path, version="1.2.0", metadata={"cra.severity": "critical"})
    return server.assign("dev1", module)


def test_our_model_reads_every_document(server: DevServer, device: Device, action: str) -> None:
    base = parse_base(device.get().content)
    assert base.sleep_seconds == 1
    assert base.deployment is not None
    assert base.deployment.action_id == action
    deployment = parse_deployment(device.get(base.deployment.href).content)
    chunk, artifact = choose_artifact(deployment)
    assert (chunk.version, chunk.metadata["cra.severity"], artifact.size) == ("1.2.0", "critical", 1024)
    assert device.get(download_link(artifact), Range="bytes=0-").content == bytes(range(256)) * 4
    server.cancel(action)
    cancel = parse_base(device.get().content).cancel
    assert cancel is not None
    assert parse_cancel(device.get(cancel.href).content).stop_id == action


@pytest.mark.parametrize("auth", ["", "TargetToken wrong", f"GatewayToken {TOKEN}", f"TargetToken {GATEWAY}", TOKEN])
def test_401_is_empty(server: DevServer, auth: str) -> None:
    answer = Device(server, auth=auth).get()
    assert (answer.status_code, answer.content) == (401, b"")
    assert "WWW-Authenticate" not in answer.headers


def test_a_target_token_needs_a_known_target_and_the_gateway_token_makes_one(server: DevServer) -> None:
    assert Device(server, "new").get().status_code == 401
    gateway = Device(server, "new", f"GatewayToken {GATEWAY}")
    assert links(gateway) == {"configData"}
    assert server.target("new").update_status == "REGISTERED"


def test_paths_and_methods_that_do_not_exist(device: Device, action: str) -> None:
    assert device.get("/nothing").status_code == 404
    assert device.get("/deploymentBase/99").status_code == 404
    assert device.send("PUT", f"/deploymentBase/{action}/feedback", {}) == 405
    assert device.send("POST", "", {}) == 405
    assert device.send("POST", f"/installedBase/{action}/feedback", {}) == 404
    assert device.get("/deploymentBase/99").json()["errorCode"]


def test_an_action_of_another_device_is_unknown(server: DevServer, action: str) -> None:
    other = Device(server, "other", f"GatewayToken {GATEWAY}")
    assert other.get(f"/deploymentBase/{action}").status_code == 404
    assert other.say(feedback.success(action)) == 404


def test_bodies_must_be_json_and_complete(device: Device, action: str) -> None:
    path = f"/deploymentBase/{action}/feedback"
    good = {"status": {"execution": "proceeding", "result": {"finished": "none"}}}
    assert device.send("POST", path, good, "application/hal+json") == 415
    assert device.send("POST", path, good, "application/cbor") == 415
    assert device.send("POST", path, good, "application/json;charset=UTF-8") == 200
    for bad in (
        b"{",
        {},
        {"status": {"execution": "proceeding"}},
        {"status": {"execution": "proceeding", "result": {}}},
        {"status": {"execution": "proceeding", "result": {"finished": "maybe"}}},
        {"status": {"execution": "soon", "result": {"finished": "none"}}},
        {"status": {"result": {"finished": "none"}}},
        {"status": {**good["status"], "code": "x"}},
    ):
        assert device.send("POST", path, bad) == 400
    assert device.send("POST", path, {**good, "unknown": 1, "id": "x", "time": "now"}) == 200
    assert device.raw(action, "proceeding", details="one line for a list") == 200


def test_entity_tags_and_304(device: Device, action: str) -> None:
    first = device.get()
    again = device.get(If_None_Match=first.headers["ETag"])
    assert (again.status_code, again.content) == (304, b"")
    assert first.headers["Content-Type"] == "application/hal+json"


def test_retrieved_is_noted_once_until_something_else_happens(server: DevServer, device: Device, action: str) -> None:
    for _ in range(3):
        assert device.get(f"/deploymentBase/{action}").status_code == 200
    assert kinds(server, action) == ["RUNNING", "RETRIEVED"]
    assert device.say(feedback.proceeding(action, "x")) == 200
    device.get(f"/deploymentBase/{action}")
    assert kinds(server, action) == ["RUNNING", "RETRIEVED", "RUNNING", "RETRIEVED"]


def test_the_change_mark_changes_with_the_action(server: DevServer, device: Device, action: str) -> None:
    def mark() -> str:
        return str(device.get().json()["_links"]["deploymentBase"]["href"])

    before = mark()
    assert device.say(feedback.proceeding(action)) == 200
    assert mark() == before
    device.get(f"/deploymentBase/{action}")
    assert mark() != before


def test_success_is_final(server: DevServer, device: Device, action: str) -> None:
    assert device.say(feedback.success(action, "booted")) == 200
    assert server.action_status(action) == "FINISHED"
    assert server.target("dev1").update_status == "IN_SYNC"
    assert links(device) == {"installedBase", "configData"}
    assert device.say(feedback.success(action)) == 410
    assert device.say(feedback.failure(action)) == 410
    assert device.get(f"/deploymentBase/{action}").status_code == 200
    assert device.get(f"/installedBase/{action}").status_code == 200


def test_closed_with_none_counts_as_success(server: DevServer, device: Device, action: str) -> None:
    assert device.raw(action, "closed", "none") == 200
    assert server.action_status(action) == "FINISHED"


def test_failure_takes_the_assignment_back_for_another_time(server: DevServer, device: Device, action: str) -> None:
    assert device.say(feedback.failure(action, "why", code=7)) == 200
    target = server.target("dev1")
    assert (server.action_status(action), target.update_status, target.assigned) == ("ERROR", "ERROR", None)
    assert server.history(action)[-1].messages == ("why", "Device reported status code: 7")
    assert device.get(f"/installedBase/{action}").status_code == 200
    with server.lock:
        again = server.assign("dev1", server.state.actions[action].ds)
    assert again != action


@pytest.mark.parametrize(
    ("execution", "kind"), [("rejected", "WARNING"), ("canceled", "CANCELED"), ("scheduled", "RUNNING")]
)
def test_neither_rejected_nor_canceled_ends_a_deployment(
    server: DevServer, device: Device, action: str, execution: str, kind: str
) -> None:
    assert device.raw(action, execution) == 200
    assert kinds(server, action)[-1] == kind
    assert "deploymentBase" in links(device)


def test_a_cancellation_that_is_accepted(server: DevServer, device: Device, action: str) -> None:
    assert device.say(feedback.cancel_accepted(action)) == 405
    assert device.get(f"/cancelAction/{action}").status_code == 404
    server.cancel(action)
    assert "cancelAction" in links(device)
    assert device.get(f"/deploymentBase/{action}").status_code == 404
    assert device.get(f"/cancelAction/{action}").json() == {"id": action, "cancelAction": {"stopId": action}}
    assert device.raw(action, "canceled", kind="cancelAction") == 200
    assert server.action_status(action) == "CANCELING"
    assert device.say(feedback.cancel_accepted(action)) == 200
    assert server.action_status(action) == "CANCELED"
    assert links(device) == {"configData"}
    assert device.say(feedback.success(action)) == 410
    assert device.get(f"/installedBase/{action}").status_code == 404


@pytest.mark.parametrize(("execution", "finished"), [("rejected", "none"), ("closed", "failure")])
def test_a_cancellation_that_is_refused(
    server: DevServer, device: Device, action: str, execution: str, finished: str
) -> None:
    server.cancel(action)
    assert device.raw(action, execution, finished, kind="cancelAction") == 200
    assert server.action_status(action) == "RUNNING"
    assert "deploymentBase" in links(device)


def test_closing_a_deployment_wins_over_its_cancellation(server: DevServer, device: Device, action: str) -> None:
    server.cancel(action)
    assert device.say(feedback.success(action)) == 200
    assert server.action_status(action) == "FINISHED"


def test_force_works_only_after_a_soft_cancellation_and_says_nothing_to_the_device(
    server: DevServer, device: Device, action: str
) -> None:
    with pytest.raises(Exception, match="force quit"):
        server.cancel(action, force=True)
    server.cancel(action)
    server.cancel(action, force=True)
    assert links(device) == {"configData"}
    assert device.say(feedback.proceeding(action)) == 410


def test_a_second_assignment_cancels_the_first_and_offers_that_first(
    server: DevServer, device: Device, action: str, tmp_path: Path
) -> None:
    (tmp_path / "c").write_bytes(b"c")
    second = server.assign("dev1", server.upload(tmp_path / "c"))
    assert f"/cancelAction/{action}" in device.get().text
    assert device.say(feedback.cancel_accepted(action)) == 200
    assert f"/deploymentBase/{second}?c=" in device.get().text
    assert server.target("dev1").assigned is server.state.actions[second].ds


def test_handling_types_and_maintenance_windows(server: DevServer, device: Device, tmp_path: Path) -> None:
    (tmp_path / "c").write_bytes(b"c")
    expected = {
        ("forced", ""): ("forced", "forced", None),
        ("soft", ""): ("attempt", "attempt", None),
        ("downloadonly", ""): ("forced", "skip", None),
        ("forced", "unavailable"): ("forced", "skip", "unavailable"),
        ("soft", "available"): ("attempt", "attempt", "available"),
    }
    for (force, window), handling in expected.items():
        action = server.assign("dev1", server.upload(tmp_path / "c"), force, window)
        found = parse_deployment(device.get(f"/deploymentBase/{action}").content)
        assert (found.download, found.update, found.window) == handling


def test_download_only_ends_with_downloaded(server: DevServer, device: Device, tmp_path: Path) -> None:
    (tmp_path / "c").write_bytes(b"c")
    action = server.assign("dev1", server.upload(tmp_path / "c"), "downloadonly")
    assert device.say(feedback.downloaded(action)) == 200
    assert server.action_status(action) == "DOWNLOADED"
    assert device.say(feedback.success(action)) == 410
    assert server.target("dev1").installed is None


def test_downloaded_is_information_for_other_actions(server: DevServer, device: Device, action: str) -> None:
    assert device.say(feedback.downloaded(action)) == 200
    assert server.action_status(action) == "RUNNING"


def test_an_older_timestamp_does_not_move_the_installed_version(
    server: DevServer, device: Device, tmp_path: Path
) -> None:
    (tmp_path / "c").write_bytes(b"c")
    first, second = server.upload(tmp_path / "c", version="1"), server.upload(tmp_path / "c", version="2")
    assert device.say(feedback.success(server.assign("dev1", first)), 4_102_444_800_000) == 200
    assert device.say(feedback.success(server.assign("dev1", second))) == 200
    installed = server.target("dev1").installed
    assert installed is not None
    assert installed.version == "1"


def test_quotas_spare_the_final_message(server: DevServer, device: Device, action: str) -> None:
    server.state.max_entries = 5
    answers = [device.say(feedback.proceeding(action, str(n))) for n in range(6)]
    assert answers == [200, 200, 200, 200, 429, 429]
    assert device.say(feedback.success(action)) == 200


def test_fifty_one_messages_and_long_ones_count(device: Device, action: str) -> None:
    assert device.raw(action, "proceeding", details=["x"] * 51) == 429
    assert device.raw(action, "proceeding", details=["x" * 513] * 26) == 429
    assert device.raw(action, "proceeding", details=["x" * 512] * 50) == 200


def test_history_shows_the_devices_own_messages_newest_first(device: Device, action: str) -> None:
    for line in ("one", "two"):
        assert device.say(feedback.proceeding(action, line)) == 200
    path = f"/deploymentBase/{action}"
    assert "actionHistory" not in device.get(path).json()
    assert device.get(f"{path}?actionHistory=1").json()["actionHistory"]["messages"] == ["two"]
    known = ["two", "one", "Assignment initiated by user 'admin'"]
    assert device.get(f"{path}?actionHistory=-1").json()["actionHistory"]["messages"] == known
    assert device.get(f"{path}?actionHistory=x").status_code == 400


def test_attributes_merge_replace_remove(server: DevServer, device: Device) -> None:
    assert "configData" in links(device)
    for mode, data, expected in (
        ("merge", {"a": "1", "b": "2"}, {"a": "1", "b": "2"}),
        (None, {"a": "3", "b": None}, {"a": "3"}),
        ("replace", {"c": "4", "d": "5"}, {"c": "4", "d": "5"}),
        ("remove", {"d": ""}, {"c": "4"}),
    ):
        document = {"data": data, **({"mode": mode} if mode else {})}
        assert device.send("PUT", "/configData", document) == 200
        assert server.target("dev1").attributes == expected
    assert "configData" not in links(device)


@pytest.mark.parametrize(
    "data", [{"a": "~"}, {"a": "ü"}, {"a": "x" * 129}, {"k" * 129: "v"}, {}, {"a": [1]}, None, [1]]
)
def test_one_bad_attribute_refuses_all(server: DevServer, device: Device, data: Any) -> None:
    if isinstance(data, dict) and data:
        data = {"good": "1", **data}
    assert device.send("PUT", "/configData", {"data": data}) == 400
    assert server.target("dev1").attributes == {}


def test_more_than_a_hundred_attributes_are_refused(device: Device) -> None:
    assert device.send("PUT", "/configData", {"data": {f"k{n}": "v" for n in range(101)}}) == 429

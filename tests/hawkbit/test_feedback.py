"""What a device says about a deployment, and what the server makes of it."""

from __future__ import annotations

import json
import time

import pytest

from hawkbit.lab import ENTRIES, Lab

DAY = 86_400_000


def now() -> int:
    return int(time.time() * 1000)


@pytest.mark.parametrize("finished", ["success", "none"])
def test_closed_ends_the_action_and_installs_even_without_a_result(lab: Lab, finished: str) -> None:
    device = lab.device()
    bundle = lab.bundle()
    action = lab.operator.assign(bundle, device.name)
    assert device.say(action, "closed", finished) == 200
    assert lab.kinds(device, action)[-1] == "finished"
    assert lab.operator.action(device.name, action)["status"] == "finished"
    assert (lab.operator.installed(device.name) or {})["id"] == bundle
    assert lab.operator.call("GET", f"/targets/{device.name}")["updateStatus"] == "in_sync"
    assert device.offer() == ""


def test_a_failure_ends_the_action_and_frees_the_assignment(lab: Lab) -> None:
    device = lab.device()
    bundle = lab.bundle()
    action = lab.operator.assign(bundle, device.name)
    assert device.say(action, "closed", "failure", "no room", code=1301) == 200
    assert lab.kinds(device, action)[-1] == "error"
    assert lab.operator.installed(device.name) is None
    assert lab.operator.call("GET", f"/targets/{device.name}")["updateStatus"] == "error"
    assert lab.operator.assign(bundle, device.name) != action


def test_texts_and_code_reach_the_operator(lab: Lab) -> None:
    device, action = lab.assigned()
    device.say(action, "proceeding", "none", "one", "two", code=7)
    told = lab.operator.statuses(device.name, action)[0]["messages"]
    assert [text for text in told if text in ("one", "two")] == ["one", "two"]


@pytest.mark.feature("management", "status-code")
def test_a_code_is_kept_with_the_action(lab: Lab) -> None:
    device, action = lab.assigned()
    device.say(action, "closed", "failure", code=1301)
    assert lab.operator.action(device.name, action)["lastStatusCode"] == 1301


@pytest.mark.parametrize(
    ("execution", "kind"),
    [
        ("proceeding", "running"),
        ("scheduled", "running"),
        ("resumed", "running"),
        ("rejected", "warning"),
        ("canceled", "canceled"),
        ("download", "download"),
        ("downloaded", "downloaded"),
    ],
)
def test_everything_but_closed_leaves_the_action_open(lab: Lab, execution: str, kind: str) -> None:
    device, action = lab.assigned()
    assert device.say(action, execution) == 200
    assert lab.kinds(device, action)[-1] == kind
    assert device.offer() == f"deploymentBase/{action}"


def test_after_the_end_feedback_is_410(lab: Lab) -> None:
    device, action = lab.assigned()
    device.say(action, "closed", "success")
    assert device.say(action, "proceeding") == 410
    assert device.say(action, "closed", "success") == 410


def test_downloaded_ends_a_download_only_action(lab: Lab) -> None:
    device, action = lab.assigned("downloadonly")
    assert device.say(action, "downloaded", "success") == 200
    assert device.offer() == ""
    assert lab.operator.call("GET", f"/targets/{device.name}")["updateStatus"] == "in_sync"
    assert lab.operator.installed(device.name) is None
    assert "configData" in device.links()


@pytest.mark.feature("management", "closed-after-download")
def test_after_a_download_only_action_closed_is_410(lab: Lab) -> None:
    device, action = lab.assigned("downloadonly")
    device.say(action, "downloaded", "success")
    assert device.say(action, "closed", "success") == 410


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"execution": "closed"},
        {"execution": "closed", "result": {}},
        {"execution": "closed", "result": {"finished": "perhaps"}},
        {"execution": "gone", "result": {"finished": "none"}},
        {"result": {"finished": "none"}},
    ],
    ids=["empty", "no-result", "no-finished", "unknown-finished", "unknown-execution", "no-execution"],
)
def test_incomplete_feedback_is_400(lab: Lab, status: dict[str, object]) -> None:
    device, action = lab.assigned()
    answer = device.send("POST", f"/deploymentBase/{action}/feedback", {"id": action, "status": status})
    assert answer.status_code == 400
    assert {"exceptionClass", "errorCode", "message"} <= set(answer.json())
    assert lab.kinds(device, action) == ["running"]


def test_what_is_no_json_is_400(lab: Lab) -> None:
    device, action = lab.assigned()
    assert device.send("POST", f"/deploymentBase/{action}/feedback", b"{").status_code == 400


def test_hal_is_not_taken_as_a_body(lab: Lab) -> None:
    device, action = lab.assigned()
    body = json.dumps({"id": action, "status": {"execution": "proceeding", "result": {"finished": "none"}}}).encode()
    sent = device.send("POST", f"/deploymentBase/{action}/feedback", body, Content_Type="application/hal+json")
    assert sent.status_code == 415


def test_unknown_fields_are_ignored(lab: Lab) -> None:
    device, action = lab.assigned()
    assert device.say(action, "proceeding", "none", weather="fine") == 200


@pytest.mark.feature("management", "feedback-without-id")
def test_feedback_needs_no_id(lab: Lab) -> None:
    device, action = lab.assigned()
    body = {"status": {"execution": "proceeding", "result": {"finished": "none"}}}
    assert device.send("POST", f"/deploymentBase/{action}/feedback", body).status_code == 200


@pytest.mark.feature("management", "feedback-with-id")
def test_feedback_without_the_id_of_the_action_is_refused(lab: Lab) -> None:
    device, action = lab.assigned()
    body = {"status": {"execution": "proceeding", "result": {"finished": "none"}}}
    assert device.send("POST", f"/deploymentBase/{action}/feedback", body).status_code >= 400


def test_a_long_text_is_split_at_512_characters(lab: Lab) -> None:
    device, action = lab.assigned()
    device.say(action, "proceeding", "none", "a" * 512 + "b" * 100)
    told = lab.operator.statuses(device.name, action)[0]["messages"]
    assert sorted(told) == ["a" * 512, "b" * 100]


def test_50_texts_are_taken_and_51_refused(lab: Lab) -> None:
    device, action = lab.assigned()
    assert device.say(action, "proceeding", "none", *(f"line {n}" for n in range(50))) == 200
    assert device.say(action, "proceeding", "none", *(f"line {n}" for n in range(51))) in (403, 429)


@pytest.mark.feature("management", "quota-429")
def test_when_the_quota_is_used_up_the_answer_is_429(lab: Lab) -> None:
    device, action = lab.assigned()
    answers = [device.say(action, "proceeding") for _ in range(ENTRIES)]
    assert answers == [200] * (ENTRIES - 1) + [429]


@pytest.mark.feature("management", "quota-403")
def test_when_the_quota_is_used_up_the_answer_is_403(lab: Lab) -> None:
    device, action = lab.assigned()
    answers = [device.say(action, "proceeding") for _ in range(ENTRIES)]
    assert answers == [200] * (ENTRIES - 1) + [403]


@pytest.mark.feature("management", "final-beyond-quota")
@pytest.mark.parametrize("finished", ["success", "failure"])
def test_the_end_is_taken_beyond_the_quota(lab: Lab, finished: str) -> None:
    device, action = lab.assigned()
    while device.say(action, "proceeding") == 200:
        pass
    assert device.say(action, "closed", finished) == 200
    assert device.offer() == ""


@pytest.mark.feature("management", "device-time")
def test_an_end_that_seems_older_than_the_last_installation_does_not_change_what_is_installed(lab: Lab) -> None:
    device = lab.device()
    first, second = lab.bundle(), lab.bundle()
    device.say(lab.operator.assign(first, device.name), "closed", "success")
    action = lab.operator.assign(second, device.name)
    device.say(action, "closed", "success", timestamp=1000)
    assert lab.operator.action(device.name, action)["status"] == "finished"
    assert (lab.operator.installed(device.name) or {})["id"] == first


@pytest.mark.feature("management", "device-time")
def test_one_time_from_the_future_freezes_what_is_installed(lab: Lab) -> None:
    device = lab.device()
    first, second = lab.bundle(), lab.bundle()
    device.say(lab.operator.assign(first, device.name), "closed", "success", timestamp=now() + 365 * DAY)
    device.say(lab.operator.assign(second, device.name), "closed", "success")
    assert (lab.operator.installed(device.name) or {})["id"] == first


def test_without_a_time_the_server_uses_its_own(lab: Lab) -> None:
    device = lab.device()
    first, second = lab.bundle(), lab.bundle()
    device.say(lab.operator.assign(first, device.name), "closed", "success")
    device.say(lab.operator.assign(second, device.name), "closed", "success")
    assert (lab.operator.installed(device.name) or {})["id"] == second

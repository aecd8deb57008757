"""The deployment that a device reads: its form, who may read it, and what reading leaves behind."""

from __future__ import annotations

import pytest

from hawkbit.lab import Lab


def test_a_deployment_names_its_chunks_and_ids_are_text(lab: Lab) -> None:
    device = lab.device()
    action = lab.operator.assign(lab.bundle(metadata={"cra.severity": "critical"}), device.name)
    document = device.document(action)
    assert document["id"] == str(action)
    (chunk,) = document["deployment"]["chunks"]
    assert (chunk["part"], chunk["version"]) == ("os", "1.2.0")
    assert chunk["name"].startswith("rootfs-")
    assert chunk["metadata"] == [{"key": "cra.severity", "value": "critical"}]
    assert not {"maintenanceWindow", "actionHistory"} & {*document, *document["deployment"]}


def test_a_module_without_metadata_has_no_such_field(lab: Lab) -> None:
    device, action = lab.assigned()
    assert "metadata" not in device.document(action)["deployment"]["chunks"][0]


@pytest.mark.parametrize(
    ("type", "download", "update"),
    [("forced", "forced", "forced"), ("soft", "attempt", "attempt"), ("downloadonly", "forced", "skip")],
)
def test_the_type_of_the_action_says_what_a_device_must_do(lab: Lab, type: str, download: str, update: str) -> None:
    device, action = lab.assigned(type)
    found = device.document(action)["deployment"]
    assert (found["download"], found["update"]) == (download, update)


def test_an_action_that_is_forced_later_begins_softly(lab: Lab) -> None:
    device, action = lab.assigned("timeforced", forcetime=4_000_000_000_000)
    assert device.document(action)["deployment"]["update"] == "attempt"


def test_an_action_whose_time_has_come_is_forced(lab: Lab) -> None:
    device, action = lab.assigned("timeforced", forcetime=1_000_000_000_000)
    assert device.document(action)["deployment"]["update"] == "forced"


def test_a_soft_action_can_be_forced_and_the_link_changes(lab: Lab) -> None:
    device, action = lab.assigned("soft")
    before = device.links()["deploymentBase"]
    lab.operator.call("PUT", f"/targets/{device.name}/actions/{action}", {"forceType": "forced"})
    assert device.links()["deploymentBase"] != before
    assert device.document(action)["deployment"]["update"] == "forced"


def test_reading_is_noted_once(lab: Lab) -> None:
    device, action = lab.assigned()
    device.document(action)
    device.document(action)
    assert lab.kinds(device, action) == ["running", "retrieved"]


def test_reading_is_noted_again_after_something_else(lab: Lab) -> None:
    device, action = lab.assigned()
    device.document(action)
    device.say(action, "proceeding")
    device.document(action)
    assert lab.kinds(device, action) == ["running", "retrieved", "running", "retrieved"]


def test_a_deployment_has_an_etag(lab: Lab) -> None:
    device, action = lab.assigned()
    device.document(action)
    etag = device.get(f"/deploymentBase/{action}").headers["ETag"]
    assert device.get(f"/deploymentBase/{action}", If_None_Match=etag).status_code == 304


def test_an_action_of_another_device_is_404(lab: Lab) -> None:
    _, action = lab.assigned()
    other = lab.device()
    assert other.get(f"/deploymentBase/{action}").status_code == 404
    assert other.say(action, "closed", "success") == 404


def test_an_unknown_action_is_404(lab: Lab) -> None:
    device = lab.device()
    assert device.get("/deploymentBase/999999").status_code == 404
    assert device.say(999999, "proceeding") == 404


def test_a_finished_action_can_still_be_read(lab: Lab) -> None:
    device, action = lab.assigned()
    device.say(action, "closed", "success")
    assert device.get(f"/deploymentBase/{action}").status_code == 200


def test_a_deployment_cannot_be_posted(lab: Lab) -> None:
    device, action = lab.assigned()
    assert device.send("POST", f"/deploymentBase/{action}", {}).status_code == 405


def test_without_being_asked_the_history_is_not_told(lab: Lab) -> None:
    device, action = lab.assigned()
    device.say(action, "proceeding", "none", "one")
    assert "actionHistory" not in device.document(action)
    assert "messages" not in device.document(action, "?actionHistory=0").get("actionHistory", {})


def test_the_history_tells_our_messages_newest_first(lab: Lab) -> None:
    device, action = lab.assigned()
    for text in ("one", "two", "three"):
        device.say(action, "proceeding", "none", text)
    told = device.document(action, "?actionHistory=2")["actionHistory"]["messages"]
    assert told[:2] == ["three", "two"]


def test_a_negative_number_means_the_whole_history_without_the_servers_own(lab: Lab) -> None:
    device, action = lab.assigned()
    device.document(action)
    device.say(action, "proceeding", "none", "one")
    told = device.document(action, "?actionHistory=-1")["actionHistory"]["messages"]
    assert "one" in told
    assert not [text for text in told if text.startswith("Update Server: ")]


def test_a_second_assignment_cancels_the_first_and_that_comes_first(lab: Lab) -> None:
    device, first = lab.assigned()
    second = lab.operator.assign(lab.bundle(), device.name)
    assert device.offer() == f"cancelAction/{first}"
    device.say(first, "closed", "success", on="cancelAction")
    assert device.offer() == f"deploymentBase/{second}"


def test_assigning_the_same_again_makes_no_action(lab: Lab) -> None:
    device = lab.device()
    bundle = lab.bundle()
    lab.operator.assign(bundle, device.name)
    again = lab.operator.call("POST", f"/distributionsets/{bundle}/assignedTargets", [{"id": device.name}])
    assert (again["assigned"], again["alreadyAssigned"]) == (0, 1)


def test_required_steps_wait_for_each_other(lab: Lab) -> None:
    device = lab.device()
    first = lab.operator.assign(lab.bundle(requiredMigrationStep=True), device.name)
    second = lab.operator.assign(lab.bundle(), device.name)
    assert device.offer() == f"deploymentBase/{first}"
    device.say(first, "closed", "success")
    assert device.offer() == f"deploymentBase/{second}"


def test_with_autoclose_an_older_action_vanishes(lab: Lab) -> None:
    with lab.configured("repository.actions.autoclose.enabled", True, False):
        device, first = lab.assigned()
        second = lab.operator.assign(lab.bundle(), device.name)
        assert device.offer() == f"deploymentBase/{second}"
        assert device.get(f"/deploymentBase/{first}").status_code == 404
        assert device.say(first, "proceeding") == 410

"""Staged rollouts of the development server follow hawkBit: one test for each promise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support.ddi import TOKEN, Device, links
from support.management import Management

from agent.demo.server import DevServer
from agent.demo.server_filter import parse_filter
from agent.demo.server_rollout_values import Conditions, Group, as_float, share_out
from agent.demo.server_values import Refused, Target

Words = Mapping[str, object]
PAUSE: Words = {"action": "PAUSE", "expression": ""}


@pytest.fixture
def server() -> Iterator[DevServer]:
    with DevServer(password="pw") as running:
        yield running


@pytest.fixture
def ds(office: Management) -> int:
    return office.distribution("d", "1", [office.module("m", "1")])


def fleet(server: DevServer, count: int) -> list[Device]:
    for n in range(count):
        server.add_target(f"dev{n:03}", TOKEN)
    return [Device(server, f"dev{n:03}") for n in range(count)]


def percent(number: int) -> Words:
    return {"condition": "THRESHOLD", "expression": str(number)}


def group(name: str, share: float, **more: object) -> Words:
    return {"name": name, "targetPercentage": share, **more}


def started(office: Management, ds: int, groups: list[Words], **more: object) -> int:
    rollout = office.rollout("r", ds, "controllerId==dev*", groups, **more)
    office.call("POST", f"/rollouts/{rollout}/start")
    return rollout


def statuses(office: Management, rollout: int) -> list[str]:
    return [str(entry["status"]) for entry in office.pages(f"/rollouts/{rollout}/deploygroups", "id:ASC")]


def status(office: Management, rollout: int) -> str:
    return str(office.rollout_status(rollout)["status"])


def offered(device: Device) -> str:
    found = device.get().json()["_links"].get("deploymentBase", {"href": ""})["href"]
    return str(found).rpartition("/deploymentBase/")[2].partition("?")[0]


def end(device: Device, result: str = "success") -> None:
    assert device.raw(offered(device), "closed", result) == 200


def test_only_the_first_group_begins_and_the_next_follows_its_success(
    server: DevServer, office: Management, ds: int
) -> None:
    devices = fleet(server, 10)
    rollout = started(office, ds, [group("one", 20), group("two", 80)], successCondition=percent(50))
    assert (status(office, rollout), statuses(office, rollout)) == ("running", ["running", "scheduled"])
    assert [bool(offered(device)) for device in devices] == [True] * 2 + [False] * 8
    end(devices[0])
    assert statuses(office, rollout) == ["running", "running"]
    assert all(offered(device) for device in devices[1:])
    for device in devices[1:]:
        end(device)
    assert (status(office, rollout), statuses(office, rollout)) == ("finished", ["finished", "finished"])
    assert office.rollout_status(rollout)["totalTargetsPerStatus"]["finished"] == 10


def test_before_it_starts_nothing_is_offered(server: DevServer, office: Management, ds: int) -> None:
    devices = fleet(server, 4)
    rollout = office.rollout("r", ds, "name==*", [group("one", 100)])
    told = office.rollout_status(rollout)
    assert (told["status"], told["totalTargetsPerStatus"]["notstarted"]) == ("ready", 4)
    assert links(devices[0]) == {"configData"}
    office.call("POST", f"/rollouts/{rollout}/start")
    action = office.pages("/targets/dev000/actions")[0]
    assert (action["rollout"], action["rolloutName"], action["status"]) == (rollout, "r", "running")
    assert f"Initiated by Rollout Group 'one' [Rollout r:{rollout}]" in office.messages("dev000", action["id"])


def test_a_pause_after_success_waits_for_the_operator(server: DevServer, office: Management, ds: int) -> None:
    devices = fleet(server, 10)
    canary = group("canary", 10, successAction=PAUSE, successCondition=percent(100))
    rollout = started(office, ds, [canary, group("rest", 90)])
    end(devices[0])
    assert (status(office, rollout), statuses(office, rollout)) == ("paused", ["finished", "scheduled"])
    assert not offered(devices[1])
    office.call("POST", f"/rollouts/{rollout}/resume")
    assert (status(office, rollout), statuses(office, rollout)) == ("running", ["finished", "running"])
    assert offered(devices[1])


def test_too_many_errors_stop_at_the_group(server: DevServer, office: Management, ds: int) -> None:
    devices = fleet(server, 20)
    rollout = started(office, ds, [group("one", 50), group("two", 50)], errorCondition=percent(20))
    for device in devices[:2]:
        end(device, "failure")
    assert status(office, rollout) == "running", "two of ten are no more than 20 %"
    end(devices[2], "failure")
    assert (status(office, rollout), statuses(office, rollout)) == ("paused", ["error", "scheduled"])
    assert not offered(devices[10])
    counts = office.rollout_status(rollout)["totalTargetsPerStatus"]
    assert (counts["error"], counts["running"], counts["scheduled"]) == (3, 7, 10)
    office.call("POST", f"/rollouts/{rollout}/resume")
    assert statuses(office, rollout) == ["error", "running"]


def test_an_error_in_the_last_group_ends_the_rollout(server: DevServer, office: Management, ds: int) -> None:
    devices = fleet(server, 2)
    rollout = started(office, ds, [group("one", 100)], errorCondition=percent(10))
    end(devices[0], "failure")
    assert (status(office, rollout), statuses(office, rollout)) == ("finished", ["error"])


def test_a_group_that_is_over_without_success_or_error_lets_the_next_begin(
    server: DevServer, office: Management, ds: int
) -> None:
    devices = fleet(server, 8)
    conditions: dict[str, Any] = {"successCondition": percent(90), "errorCondition": percent(60)}
    rollout = started(office, ds, [group("one", 50), group("two", 50)], **conditions)
    for number, device in enumerate(devices[:4]):
        end(device, "failure" if number < 2 else "success")
    assert statuses(office, rollout) == ["finished", "running"]


def test_an_operator_may_pause_and_go_on_by_hand(server: DevServer, office: Management, ds: int) -> None:
    devices = fleet(server, 4)
    rollout = started(office, ds, [group("one", 50), group("two", 50)])
    office.call("POST", f"/rollouts/{rollout}/pause")
    for device in devices[:2]:
        end(device)
    assert (status(office, rollout), statuses(office, rollout)) == ("paused", ["running", "scheduled"])
    office.call("POST", f"/rollouts/{rollout}/triggerNextGroup", expect=(400,))
    office.call("POST", f"/rollouts/{rollout}/resume")
    assert statuses(office, rollout) == ["finished", "running"]


def test_an_operator_may_begin_the_next_group_early(server: DevServer, office: Management, ds: int) -> None:
    devices = fleet(server, 4)
    rollout = started(office, ds, [group("one", 50), group("two", 50)])
    office.call("POST", f"/rollouts/{rollout}/triggerNextGroup")
    assert statuses(office, rollout) == ["running", "running"]
    assert offered(devices[3])
    office.call("POST", f"/rollouts/{rollout}/triggerNextGroup", expect=(400,))


def test_stopping_cancels_what_is_under_way_and_forgets_the_rest(
    server: DevServer, office: Management, ds: int
) -> None:
    devices = fleet(server, 4)
    rollout = started(office, ds, [group("one", 50), group("two", 50)])
    office.call("POST", f"/rollouts/{rollout}/stop")
    assert status(office, rollout) == "stopped"
    assert "cancelAction" in links(devices[0])
    assert office.pages("/targets/dev003/actions") == []
    office.call("POST", f"/rollouts/{rollout}/stop", expect=(400,))


def test_a_recalled_release_stops_its_rollouts(server: DevServer, office: Management, ds: int) -> None:
    devices = fleet(server, 2)
    rollout = started(office, ds, [group("one", 100)])
    office.call("POST", f"/distributionsets/{ds}/invalidate", {"actionCancelationType": "soft"})
    assert status(office, rollout) == "stopped"
    assert "cancelAction" in links(devices[0])


def test_a_rollout_can_be_deleted(server: DevServer, office: Management, ds: int) -> None:
    devices = fleet(server, 2)
    unborn = office.rollout("unborn", ds, "name==*", [group("one", 100)])
    office.call("DELETE", f"/rollouts/{unborn}")
    office.call("GET", f"/rollouts/{unborn}", expect=(404,))
    rollout = started(office, ds, [group("one", 100)])
    office.call("DELETE", f"/rollouts/{rollout}")
    assert (status(office, rollout), office.rollout_status(rollout)["deleted"]) == ("deleted", True)
    assert links(devices[0]) == {"configData"}
    assert office.call("GET", "/rollouts")["total"] == 0


def test_a_target_that_has_the_set_already_is_finished_at_once(server: DevServer, office: Management, ds: int) -> None:
    devices = fleet(server, 2)
    office.assign(ds, "dev000")
    end(devices[0])
    rollout = started(office, ds, [group("one", 50), group("two", 50)])
    assert statuses(office, rollout) == ["finished", "running"]
    action = office.pages("/targets/dev000/actions")[0]
    assert "Update Server: Distribution Set is already assigned. Skipping this action." in office.messages(
        "dev000", action["id"]
    )


def test_an_older_action_is_cancelled_when_its_targets_turn_comes(
    server: DevServer, office: Management, ds: int
) -> None:
    devices = fleet(server, 2)
    old = office.distribution("d", "0", [office.module("m", "0")])
    for n in range(2):
        office.assign(old, f"dev{n:03}")
    started(office, ds, [group("one", 50), group("two", 50)])
    assert "cancelAction" in links(devices[0])
    assert "deploymentBase" in links(devices[1])


def test_download_only_counts_what_is_downloaded(server: DevServer, office: Management, ds: int) -> None:
    devices = fleet(server, 2)
    rollout = started(office, ds, [group("one", 50), group("two", 50)], type="downloadonly")
    assert devices[0].raw(offered(devices[0]), "downloaded", "success") == 200
    assert statuses(office, rollout) == ["finished", "running"]


def test_confirmation_is_asked_for_group_by_group(server: DevServer, office: Management, ds: int) -> None:
    devices = fleet(server, 2)
    office.configure("user.confirmation.flow.enabled", True)
    rollout = started(office, ds, [group("one", 50), group("two", 50, confirmationRequired=False)])
    assert "confirmationBase" in links(devices[0])
    office.call("POST", f"/rollouts/{rollout}/triggerNextGroup")
    assert "deploymentBase" in links(devices[1])


def test_a_group_without_targets_is_passed(server: DevServer, office: Management, ds: int) -> None:
    devices = fleet(server, 10)
    rollout = started(office, ds, [group("canary", 1), group("rest", 99)])
    assert statuses(office, rollout) == ["finished", "running"]
    assert all(offered(device) for device in devices)


def test_groups_can_be_made_by_their_number(server: DevServer, office: Management, ds: int) -> None:
    fleet(server, 10)
    body = {"name": "r", "distributionSetId": ds, "targetFilterQuery": "name==*", "amountGroups": 3}
    rollout = office.call("POST", "/rollouts", body, expect=(201,))["id"]
    groups = office.pages(f"/rollouts/{rollout}/deploygroups", "id:ASC")
    assert [(entry["name"], entry["totalTargets"]) for entry in groups] == [
        ("group-1", 3),
        ("group-2", 3),
        ("group-3", 4),
    ]
    targets = office.call("GET", f"/rollouts/{rollout}/deploygroups/{groups[1]['id']}/targets")
    assert [entry["controllerId"] for entry in targets["content"]] == ["dev003", "dev004", "dev005"]
    detailed = office.call("GET", f"/rollouts/{rollout}/deploygroups/{groups[1]['id']}")
    assert detailed["totalTargetsPerStatus"]["notstarted"] == 3


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"groups": [group("one", 50), group("two", 40)]}, 400),
        ({"groups": [group("one", 0.5), group("two", 99.5)]}, 400),
        ({"groups": []}, 400),
        ({"groups": [group("one", 100, targetFilterQuery="name==x")]}, 400),
        ({"amountGroups": 2}, 400),
        ({"targetFilterQuery": "controllerId==nobody"}, 400),
        ({"targetFilterQuery": "nonsense"}, 400),
        ({"targetFilterQuery": ""}, 400),
        ({"distributionSetId": 999_999}, 404),
        ({"type": "hard"}, 400),
        ({"dynamic": True}, 400),
        ({"startAt": 1}, 400),
        ({"successCondition": {"condition": "THRESHOLD", "expression": "many"}}, 400),
        ({"errorAction": {"action": "NEXTGROUP"}}, 400),
    ],
)
def test_rollouts_that_make_no_sense_are_refused(
    server: DevServer, office: Management, ds: int, change: Words, code: int
) -> None:
    fleet(server, 10)
    body = {"name": "r", "distributionSetId": ds, "targetFilterQuery": "name==*", "groups": [group("one", 100)]}
    office.call("POST", "/rollouts", {**body, **change}, expect=(code,))
    office.call("POST", "/rollouts", body, expect=(201,))
    office.call("POST", "/rollouts", body, expect=(409,))


def test_what_a_state_does_not_allow_is_refused(server: DevServer, office: Management, ds: int) -> None:
    fleet(server, 2)
    rollout = office.rollout("r", ds, "name==*", [group("one", 100)])
    for verb in ("pause", "resume", "triggerNextGroup", "approve", "deny"):
        office.call("POST", f"/rollouts/{rollout}/{verb}", expect=(400,))
    office.call("POST", "/rollouts/999/start", expect=(404,))


def test_shares_are_of_all_targets_and_rounded_like_java() -> None:
    def shares(*percentages: float, total: int) -> list[int]:
        groups = [Group(str(p), "g", as_float(p), Conditions()) for p in percentages]
        return share_out(groups, total)

    assert shares(1, 9, 40, 50, total=200) == [2, 18, 80, 100]
    assert shares(1, 99, total=49) == [0, 49]
    assert shares(1, 99, total=50) == [1, 49]
    assert shares(50, 50, total=3) == [2, 1]
    assert shares(33.3, 33.3, 33.4, total=100) == [33, 33, 34]


@pytest.mark.parametrize(
    ("query", "fits"),
    [
        ("controllerId==dev*", True),
        ("id==DEV1", True),
        ("controllerId==dev", False),
        ("name!=dev1", False),
        ("attribute.hw==a", True),
        ("controllerAttributes.hw==a;attribute.os==*", True),
        ("attribute.none==*", False),
        ("attribute.hw==b,updateStatus==in_sync", True),
        ("attribute.hw==b and name==dev1 or group==ring0", True),
        ("attribute.hw==b;(name==dev1,group==ring0)", False),
        ("controllerId=in=(x, dev1)", True),
        ("controllerId=out=(x,dev1)", False),
        ("group=='ring0'", True),
    ],
)
def test_filters(query: str, fits: bool) -> None:
    target = Target("dev1", "", attributes={"hw": "a", "os": "z"}, update_status="IN_SYNC", group="ring0")
    assert parse_filter(query)(target) is fits


@pytest.mark.parametrize(
    "query",
    ["", "name", "name==", "name=gt=a", "name==a;;name==b", "(name==a", "name==a)", "colour==red", "attribute.x!=1"],
)
def test_filters_that_are_not_understood_are_refused(query: str) -> None:
    with pytest.raises(Refused) as refusal:
        parse_filter(query)
    assert refusal.value.status == 400


def test_targets_can_be_searched(server: DevServer, office: Management) -> None:
    fleet(server, 3)
    assert office.call("GET", "/targets?q=controllerId==dev00*;name!=dev001")["total"] == 2


def test_a_large_fleet_is_rolled_out_to_while_it_polls_concurrently(
    server: DevServer, office: Management, ds: int
) -> None:
    devices = fleet(server, 200)
    canary = group("canary", 1, successAction=PAUSE, successCondition=percent(100))
    rollout = started(office, ds, [canary, group("r10", 9), group("r50", 40), group("r100", 50)])

    def live(device: Device) -> None:
        while not (action := offered(device)):
            pass
        assert device.get(f"/deploymentBase/{action}").status_code == 200
        assert device.raw(action, "closed", "success") == 200

    for device in devices[:2]:
        end(device)
    assert status(office, rollout) == "paused"
    office.call("POST", f"/rollouts/{rollout}/resume")
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(live, devices[2:]))
    assert status(office, rollout) == "finished"
    assert office.rollout_status(rollout)["totalTargetsPerStatus"]["finished"] == 200

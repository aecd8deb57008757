"""The desk: what people say to an update that waits, what they are told, and what outlasts a restart."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest
from support.pretend import FULL
from support.waiting import Dates, Device

from agent.consent.rules import Hold, Stride
from agent.consent.windows import PATIENCE, SETTLE
from agent.daemon.machine import State
from agent.daemon.record import Record
from agent.errors import EnvironmentFault, PolicyError

CRITICAL = {
    "class": "security", "urgency": "critical", "fixes": "CVE-2027-12345", "summary-en": "Fixes remote login bypass",
    "user-action-en": "Update now", "disruption": "reboot", "advisory-url": "https://psirt.example/a.json",
}  # fmt: skip
DAY = 86400


def refused(call: object) -> str:
    with pytest.raises(PolicyError) as caught:
        call()  # type: ignore[operator]
    return caught.value.code


@pytest.mark.req("C05", "C06")
def test_an_opt_out_holds_a_forced_update_and_its_notice_is_there_all_the_same(tmp_path: Path) -> None:
    device = Device(tmp_path, CRITICAL)
    device.desk.set_policy("auto-security", False, ":1.5")
    assert device.look() == (Hold.OPT_OUT,)
    device.reboot(off=3600, date=None)
    assert device.look() == (Hold.OPT_OUT,)
    assert device.notice()["waits-for"] == ["opt-out"]
    assert device.signals("Update.UpdateAvailable") == [("2.0.0",)] * 2, "once in each boot"
    assert ("Policy.Changed", ("AutoSecurityUpdates", True, False, ":1.5")) in device.told


@pytest.mark.req("C16", "C05", "C07")
def test_who_has_said_it_stands_in_the_audit_log(tmp_path: Path) -> None:
    device = Device(tmp_path, approval="ask-install")
    device.desk.postpone(60, by="user 1000")
    device.desk.approve("", by="user 0")
    device.desk.set_policy("auto-security", False, ":1.5", by="user 1000")
    assert device.recorded("consent") == [("postponed", "user 1000"), ("approved", "user 0")]
    assert device.recorded("policy") == [("AutoSecurityUpdates", "user 1000")]


@pytest.mark.req("C06")
def test_a_device_that_has_yet_to_find_out_what_is_waited_for_claims_nothing(tmp_path: Path) -> None:
    device = Device(tmp_path, approval="ask-install")
    device.reboot(off=60, date=None)
    shown = device.desk.properties()
    assert shown["Update.Available"] is True
    assert (shown["Update.Notice"]["line"], shown["Update.Deadline"]) == ("Update 2.0.0 waits", 0)  # type: ignore[index]


@pytest.mark.req("C06", "T14")
def test_the_notice_says_what_was_signed_and_everybody_may_read_it(tmp_path: Path) -> None:
    device = Device(tmp_path, CRITICAL, approval="ask-install")
    notice = device.notice()
    assert (notice["class"], notice["urgency"], notice["fixes"]) == ("security", "critical", ["CVE-2027-12345"])
    assert (notice["summary"], notice["verified"]) == ({"en": "Fixes remote login bypass"}, True)
    assert stat.S_IMODE((tmp_path / "notice.json").stat().st_mode) == 0o644
    assert device.desk.summary("fr") == "Fixes remote login bypass"
    assert device.desk.user_action("en") == "Update now"
    shown = device.desk.properties()
    assert (shown["Update.Available"], shown["Update.Urgency"], shown["Update.WaitsFor"]) == (
        True,
        "critical",
        ["consent"],
    )


def test_the_notice_is_gone_when_the_update_is(tmp_path: Path) -> None:
    device = Device(tmp_path, CRITICAL, approval="ask-install")
    device.desk.entered(Record())
    assert not (tmp_path / "notice.json").exists()
    assert device.told[-1] == ("Update.Notice", {})
    assert device.desk.properties()["Update.Available"] is False
    assert refused(device.desk.install_now) == "consent.none"
    assert refused(lambda: device.desk.postpone(60)) == "consent.none"


def test_a_notice_that_a_daemon_before_has_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "notice.json").write_text("{}")
    device = Device(tmp_path)
    device.record = Record()
    device.start()
    assert not (tmp_path / "notice.json").exists()


def test_before_a_bundle_was_looked_at_the_notice_says_that_nothing_is_verified(tmp_path: Path) -> None:
    device = Device(tmp_path)
    device.desk.entered(Record(state=State.HELD, origin="server", action_id="8", version="3.0.0"))
    assert (device.notice()["version"], device.notice()["verified"]) == ("3.0.0", False)
    assert refused(lambda: device.desk.postpone(60)) == "consent.none"


@pytest.mark.req("C06")
def test_what_waits_to_be_confirmed_is_announced_too_until_that_is_answered(tmp_path: Path) -> None:
    device = Device(tmp_path)
    device.desk.entered(Record())
    told = {"action": "9", "version": "3.0.0", "size": "1000"}
    device.desk.offering("9", "wanted", told)
    assert (device.notice()["version"], device.notice()["verified"], device.notice()["waits-for"]) == (
        "3.0.0",
        False,
        ["consent"],
    )
    device.desk.offering("9", "confirmed", told)
    assert not (tmp_path / "notice.json").exists()


def test_whatever_somebody_changes_the_surroundings_are_looked_at_once_more(tmp_path: Path) -> None:
    device = Device(tmp_path, inhibitors=True)
    device.services.inhibitors = [("shutdown", "backup", "is running", "block")]
    assert device.look(Stride.RESTART) == ()
    device.desk.set_policy("approval", "auto", ":1.5")
    assert device.look(Stride.RESTART) == (Hold.INHIBITOR,)


def test_people_are_heard_while_another_service_takes_its_time(tmp_path: Path) -> None:
    device = Device(tmp_path, CRITICAL, power="ac")
    heard: list[bool] = []

    def slow(*_: str) -> bool:
        person = Thread(target=device.desk.postpone, args=(60,), daemon=True)
        person.start()
        person.join(5)
        heard.append(not person.is_alive())
        return True

    device.clock.passes(60)
    device.services.get = slow  # type: ignore[method-assign,assignment]
    device.desk.holds(device.record, Stride.INSTALL)
    assert heard[0]


def test_who_holds_a_lock_against_a_shutdown_is_told(tmp_path: Path) -> None:
    device = Device(tmp_path, inhibitors=True)
    device.services.inhibitors = [("shutdown", "backup", "is running", "block")]
    device.clock.passes(60)
    assert device.look(Stride.RESTART) == (Hold.INHIBITOR,)
    assert device.signals("Inhibited") == [[("backup", "is running")]]


@pytest.mark.req("C07")
def test_a_postponement_holds_writing_and_restart_and_then_it_goes_on_by_itself(tmp_path: Path) -> None:
    device = Device(tmp_path, CRITICAL)
    device.desk.postpone(3600)
    assert device.inbox.take_look(), "the worker looks"
    assert (device.look(), device.look(Stride.RESTART)) == ((Hold.POSTPONED,),) * 2
    assert device.desk.change_in(device.record, (Hold.POSTPONED,)) == 3600
    assert (device.notice()["postponed"], device.notice()["defers-used"], device.notice()["defers-left"]) == (
        3600,
        1,
        2,
    )
    device.clock.passes(3600)
    assert device.look() == ()


@pytest.mark.req("C07")
def test_a_postponement_is_durable_before_it_is_acknowledged(tmp_path: Path) -> None:
    device = Device(tmp_path, CRITICAL)
    device.disk.full = True
    with pytest.raises(EnvironmentFault) as caught:
        device.desk.postpone(3600)
    assert caught.value.code == FULL.code
    assert device.look() == ()


@pytest.mark.req("C07")
def test_a_bundle_that_is_assigned_anew_cannot_be_postponed_anew(tmp_path: Path) -> None:
    device = Device(tmp_path, CRITICAL)
    for _ in range(3):
        device.desk.postpone(60)
    device.desk.entered(Record())
    device.look()
    assert refused(lambda: device.desk.postpone(60)) == "consent.postponed-often"


def test_who_approves_or_wants_it_now_ends_the_postponement(tmp_path: Path) -> None:
    device = Device(tmp_path, CRITICAL, approval="ask-install")
    device.desk.postpone(3600)
    assert device.look() == (Hold.CONSENT, Hold.POSTPONED)
    device.desk.approve("")
    assert device.look() == ()
    assert device.record.consent == "given"


@pytest.mark.req("T24")
def test_where_the_server_rules_nobody_postpones_a_forced_update(tmp_path: Path) -> None:
    device = Device(tmp_path, CRITICAL, profile="managed")
    assert refused(lambda: device.desk.postpone(60)) == "consent.server-rules"
    soft = Device(tmp_path, CRITICAL, {"download": "attempt", "update": "attempt"}, profile="managed")
    soft.desk.postpone(60)
    assert soft.look() == (Hold.POSTPONED,)


@pytest.mark.req("C04")
def test_the_deadline_ends_the_waiting_for_a_window(tmp_path: Path) -> None:
    device = Device(tmp_path, CRITICAL, windows=("Mon 02:00-02:01",), time_zone="UTC")
    assert device.look() == (Hold.WINDOW,)
    assert device.notice()["deadline"] == pytest.approx(device.clock.date + 3 * DAY, abs=60)
    wait = device.desk.change_in(device.record, (Hold.WINDOW,))
    assert wait is not None
    device.clock.passes(min(wait, 3 * DAY))
    assert device.look() == ()


def test_a_window_opens_by_the_date(tmp_path: Path) -> None:
    device = Device(tmp_path, {}, windows=("Fri 12:00-13:00",), time_zone="UTC")  # it begins on Friday, 08:00
    assert device.look() == (Hold.WINDOW,)
    assert device.desk.change_in(device.record, (Hold.WINDOW,)) == 4 * 3600
    device.clock.passes(4 * 3600)
    assert device.look() == ()


def test_a_date_that_nobody_vouches_for_is_waited_for_but_not_for_ever(tmp_path: Path) -> None:
    device = Device(tmp_path, {}, windows=("Fri 12:00-13:00",), time_zone="UTC")
    device.reboot(off=60, date=1000.0)
    device.clock.passes(4 * 3600)
    assert device.look() == (Hold.WINDOW,)
    device.clock.passes(PATIENCE)
    assert device.look() == ()
    device.reboot(off=60, date=1000.0)
    assert device.look() == (Hold.WINDOW,), "after each start it may still become right"
    device.clock.passes(SETTLE)
    assert device.look() == ()


def test_what_needs_a_person_is_reminded_of_once_a_day_and_nobody_wakes_up_in_between(tmp_path: Path) -> None:
    device = Device(tmp_path, {"class": "functionality"}, auto_functionality=False)
    assert device.look() == (Hold.CONSENT,)
    assert device.desk.change_in(device.record, (Hold.CONSENT,)) == DAY
    device.clock.passes(DAY)
    device.look()
    device.look()
    assert device.signals("Update.Reminder") == [("2.0.0", 0)]
    assert device.desk.change_in(device.record, (Hold.CONSENT,)) == DAY


def test_what_only_the_server_can_change_wakes_nobody(tmp_path: Path) -> None:
    device = Device(tmp_path, {"class": "functionality"})
    assert device.desk.change_in(device.record, (Hold.SERVER,)) is None


def test_an_industrial_device_is_told_that_a_deadline_is_over_and_does_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    device = Device(tmp_path, CRITICAL, profile="industrial")
    device.clock.passes(4 * DAY)
    assert device.look() == (Hold.CONSENT,)
    assert "its deadline is over" in caplog.text
    assert device.notice()["deadline"] == 0, "it is never installed by itself"


def test_how_an_update_ended_is_told_and_a_success_is_forgotten(tmp_path: Path) -> None:
    device = Device(tmp_path, CRITICAL)
    device.desk.postpone(60)
    device.desk.ended(Record(outcome="success", version="2.0.0", manifest_hash="ab" * 32))
    assert device.signals("Update.Installed") == [("2.0.0",)]
    assert device.disk.documents["consent"]["updates"] == []


def test_a_success_is_told_even_if_what_was_said_to_it_cannot_be_forgotten(tmp_path: Path) -> None:
    device = Device(tmp_path, CRITICAL)
    device.desk.postpone(60)
    device.disk.full = True
    device.desk.ended(replace(device.record, outcome="success"))
    assert device.signals("Update.Installed") == [("2.0.0",)]


def test_an_age_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    device = Device(tmp_path, CRITICAL, approval="ask-install")
    device.disk.full = True
    device.clock.passes(4 * DAY)
    assert device.look() == (Hold.CONSENT,)


@pytest.mark.parametrize(
    "damage", [{}, {"schema": 1, "updates": [{}], "approved": []}, {"schema": 1, "updates": 5, "approved": []}]
)
def test_a_broken_ledger_is_put_aside_and_counted_anew(tmp_path: Path, damage: dict[str, object]) -> None:
    device = Device(tmp_path, CRITICAL)
    device.desk.postpone(3600)
    device.disk.documents["consent"] = damage
    device.start()
    assert device.look() == ()
    assert device.notice()["defers-left"] == 3


def test_a_run_directory_that_cannot_be_written_is_told_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "file"
    file.touch()
    device = Device(file / "run", CRITICAL, approval="ask-install")
    assert device.look() == (Hold.CONSENT,)
    assert "notice.json cannot be written" in caplog.text


def test_what_was_approved_before_it_was_offered_is_known_after_a_restart(tmp_path: Path) -> None:
    device = Device(tmp_path)
    device.desk.answer_before("9 digest", approved=True)
    device.start()
    assert device.desk.approved_before("9 digest")
    assert not device.desk.approved_before("9 other")


def test_the_date_of_these_tests_is_a_friday_morning() -> None:
    import datetime as dt

    assert dt.datetime.fromtimestamp(Dates().date, dt.UTC).strftime("%a %H:%M") == "Fri 08:00"


def test_the_ledger_is_plain_json(tmp_path: Path) -> None:
    device = Device(tmp_path, CRITICAL)
    device.desk.postpone(60)
    assert json.loads(json.dumps(device.disk.documents["consent"])) == device.disk.documents["consent"]

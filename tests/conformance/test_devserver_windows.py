"""Maintenance windows and kinds of assignment of the development server follow hawkBit: one test for each promise."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

import pytest
from support.ddi import TOKEN, Device, links
from support.management import Management

from agent.demo.server import DevServer
from agent.demo.server_windows import parse_schedule

HALF = "00:30:00"


@pytest.fixture
def server() -> Iterator[DevServer]:
    with DevServer(password="pw") as running:
        running.add_target("dev1", TOKEN)
        yield running


@pytest.fixture
def ds(office: Management) -> int:
    return office.distribution("d", "1", [office.module("m", "1")])


def at(text: str) -> int:
    return int(datetime.datetime.fromisoformat(text).timestamp() * 1000)


def window_in(seconds: int, duration: str = HALF, zone: str = "+00:00") -> dict[str, str]:
    """One window, in so many seconds from now."""
    offset = datetime.timedelta(hours=int(zone[:3]))
    start = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds) + offset
    cron = f"{start.second} {start.minute} {start.hour} {start.day} {start.month} ? {start.year}"
    return {"schedule": cron, "duration": duration, "timezone": zone}


def deployed(device: Device, action: int) -> tuple[str, str, str | None]:
    body = device.get(f"/deploymentBase/{action}").json()["deployment"]
    return body["download"], body["update"], body.get("maintenanceWindow")


@pytest.mark.parametrize(
    ("cron", "zone", "now", "start"),
    [
        ("0 0 3 ? * * *", "+00:00", "2026-05-01T04:00:00+00:00", "2026-05-02T03:00:00+00:00"),
        ("0 0 3 ? * *", "+02:00", "2026-05-01T00:00:00+00:00", "2026-05-01T01:00:00+00:00"),
        ("0 0 3 ? * *", "+00:00", "2026-05-01T03:10:00+00:00", "2026-05-01T03:00:00+00:00"),
        ("0 0/15 8-9 ? * MON-FRI", "+00:00", "2026-05-02T08:00:00+00:00", "2026-05-04T08:00:00+00:00"),
        ("5,50 1 2 29 FEB ?", "+00:00", "2026-05-01T00:00:00+00:00", "2028-02-29T02:01:05+00:00"),
        ("0 0 0 1 1 ? 2030", "-05:30", "2026-05-01T00:00:00+00:00", "2030-01-01T05:30:00+00:00"),
        ("0 0 0 ? * 1", "Z", "2026-05-01T12:00:00+00:00", "2026-05-03T00:00:00+00:00"),
    ],
)
def test_the_next_window(cron: str, zone: str, now: str, start: str) -> None:
    assert parse_schedule(cron, HALF, zone, at(now)).next_start(at(now)) == at(start)


@pytest.mark.parametrize(
    ("cron", "duration", "zone"),
    [
        ("0 0 3 * *", HALF, "+00:00"),
        ("0 0 3 L * ?", HALF, "+00:00"),
        ("0 0 3 ? * 6#3", HALF, "+00:00"),
        ("0 0 3 15W * ?", HALF, "+00:00"),
        ("0 0 3 ? * ?", HALF, "+00:00"),
        ("0 0 3 * * *", HALF, "+00:00"),
        ("? 0 3 * * *", HALF, "+00:00"),
        ("0 0 24 ? * *", HALF, "+00:00"),
        ("0 60 3 ? * *", HALF, "+00:00"),
        ("0 0 3 ? * FUN", HALF, "+00:00"),
        ("0 5-1 3 ? * *", HALF, "+00:00"),
        ("0 0/0 3 ? * *", HALF, "+00:00"),
        ("0 0 3 ? * * 2020", HALF, "+00:00"),
        ("0 0 3 30 FEB ?", HALF, "+00:00"),
        ("0 0 3 ? * *", "30", "+00:00"),
        ("0 0 3 ? * *", "24:00:00", "+00:00"),
        ("0 0 3 ? * *", HALF, "Europe/Berlin"),
        ("0 0 3 ? * *", HALF, "+19:00"),
    ],
)
def test_what_is_no_schedule_or_not_understood_is_refused(cron: str, duration: str, zone: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_schedule(cron, duration, zone, at("2026-05-01T00:00:00+00:00"))


def test_a_window_is_open_from_after_its_start_until_before_its_end() -> None:
    start = at("2026-05-01T03:00:00+00:00")
    schedule = parse_schedule("0 0 3 ? * *", HALF, "+00:00", start)
    open_at = [schedule.is_open(start + ms) for ms in (-1, 0, 1, 1_799_999, 1_800_000)]
    assert open_at == [False, False, True, True, False]


def test_a_closed_window_lets_only_download(office: Management, device: Device, ds: int) -> None:
    action = office.assign(ds, "dev1", maintenanceWindow=window_in(3600, zone="+02:00"))
    assert deployed(device, action) == ("forced", "skip", "unavailable")
    shown = office.action("dev1", action)["maintenanceWindow"]
    assert (shown["duration"], shown["timezone"]) == (HALF, "+02:00")


def test_an_open_window_lets_install(office: Management, device: Device, ds: int) -> None:
    action = office.assign(ds, "dev1", "soft", maintenanceWindow=window_in(-60))
    assert deployed(device, action) == ("attempt", "attempt", "available")


def test_the_sleep_is_shorter_before_a_window(server: DevServer, office: Management, device: Device, ds: int) -> None:
    def sleep() -> int:
        hours, minutes, seconds = device.get().json()["config"]["polling"]["sleep"].split(":")
        return int(hours) * 3600 + int(minutes) * 60 + int(seconds)

    office.configure("pollingTime", "00:05:00")
    assert sleep() == 300
    office.assign(ds, "dev1", maintenanceWindow=window_in(300))
    assert 60 <= sleep() <= 100
    office.configure("maintenanceWindowPollCount", 10)
    assert sleep() <= 30
    server.state.config.least_polling = 45
    assert sleep() == 45
    office.configure("pollingTime", "00:00:50")
    office.configure("maintenanceWindowPollCount", 1)
    assert sleep() == 50


def test_an_action_whose_windows_are_over_is_cancelled(
    server: DevServer, office: Management, device: Device, ds: int
) -> None:
    action = office.assign(ds, "dev1", maintenanceWindow=window_in(60))
    server.state.actions[str(action)].schedule = parse_schedule(
        "0 0 3 1 5 ? 2026", HALF, "+00:00", at("2026-04-01T00:00:00+00:00")
    )
    assert "cancelAction" in links(device)
    assert office.action("dev1", action)["status"] == "canceling"
    assert "manual cancelation requested" in office.messages("dev1", action)


@pytest.mark.parametrize(
    "window",
    [
        {"schedule": "0 0 3 ? * *"},
        {"schedule": "0 0 3 ? * *", "duration": HALF, "timezone": "here"},
        {"schedule": "0 0 3 L * ?", "duration": HALF, "timezone": "+00:00"},
        {"schedule": "0 0 3 ? * * 2020", "duration": HALF, "timezone": "+00:00"},
        "tonight",
    ],
)
def test_windows_that_make_no_sense_are_refused(office: Management, ds: int, window: object) -> None:
    wish = [{"id": "dev1", "maintenanceWindow": window}]
    answer = office.call("POST", f"/distributionsets/{ds}/assignedTargets", wish, expect=(400,))
    assert answer["errorCode"] == "hawkbit.server.error.maintenanceScheduleInvalid"


def test_soft_becomes_forced_and_the_change_mark_shows_it(office: Management, device: Device, ds: int) -> None:
    action = office.assign(ds, "dev1", "soft")
    assert deployed(device, action) == ("attempt", "attempt", None)
    before = device.get().json()["_links"]["deploymentBase"]["href"]
    assert device.get().json()["_links"]["deploymentBase"]["href"] == before
    office.call("PUT", f"/targets/dev1/actions/{action}", {"forceType": "forced"})
    assert device.get().json()["_links"]["deploymentBase"]["href"] != before
    assert deployed(device, action) == ("forced", "forced", None)


def test_timeforced_is_soft_until_its_time(server: DevServer, office: Management, device: Device, ds: int) -> None:
    action = office.assign(ds, "dev1", "timeforced", forcetime=at("2100-01-01T00:00:00+00:00"))
    assert deployed(device, action) == ("attempt", "attempt", None)
    before = device.get().json()["_links"]["deploymentBase"]["href"]
    server.state.actions[str(action)].force_time = at("2020-01-01T00:00:00+00:00")
    assert deployed(device, action) == ("forced", "forced", None)
    assert device.get().json()["_links"]["deploymentBase"]["href"] != before
    assert office.action("dev1", action)["forceTime"] == at("2020-01-01T00:00:00+00:00")


def test_an_unknown_type_is_refused(office: Management, ds: int) -> None:
    office.call("POST", f"/distributionsets/{ds}/assignedTargets", [{"id": "dev1", "type": "hard"}], expect=(400,))

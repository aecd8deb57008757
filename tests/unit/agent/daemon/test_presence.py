"""The daemon as others see it: commands are refused at once, and being seen never stops the work."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.asked import Asked
from support.pretend import Disk, Environment, device

from agent.audit.port import Unrecorded
from agent.daemon.dbus_service import BusService
from agent.daemon.inbox import Inbox, Stopped
from agent.daemon.knowledge import Knowledge
from agent.daemon.machine import CANCELLABLE, State
from agent.daemon.presence import Presence
from agent.daemon.record import Reason, Record
from agent.daemon.terms import Terms
from agent.errors import BundleError, ConfigError, EnvironmentFault, PolicyError


def presence(record: Record | None = None, disk: Disk | None = None, *, has_server: bool = True) -> Presence:
    knowledge = Knowledge(disk or Disk())  # type: ignore[arg-type]  # the same interface
    return Presence(
        Inbox(), device(Environment()), knowledge, Asked(), "none", has_server=has_server, record=record or Record()
    )


def served(seen: Presence, initial: dict[str, object] | None = None) -> BusService:
    return BusService("none", seen, Asked(), Unrecorded(), initial)


def test_a_main_loop_that_decides_too_late_does_not_leave_the_bus_without_its_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from gi.repository import GLib

    seen = presence()
    service = served(seen)
    left: list[bool] = []
    monkeypatch.setattr(service, "leave", lambda: left.append(True))
    monkeypatch.setattr(seen, "_service", service)
    monkeypatch.setattr("agent.daemon.presence._DECISION", 0.01)
    assert not seen.leave()
    while GLib.MainContext.default().iteration(False):  # the main loop goes on
        pass
    assert left == []


@pytest.mark.parametrize("state", list(State))
def test_only_what_can_be_cancelled_is_cancelled(state: State) -> None:
    seen = presence()
    seen.entered(Record(state=state))
    if state in CANCELLABLE:
        seen.cancel()
        assert seen._inbox.take_cancel()
    else:
        with pytest.raises(PolicyError):
            seen.cancel()
        assert not seen._inbox.take_cancel()


@pytest.mark.parametrize("state", [state for state in State if state is not State.IDLE])
def test_a_second_update_is_refused_also_right_after_a_start(state: State, tmp_path: Path) -> None:
    bundle = tmp_path / "a.raucb"
    bundle.touch()
    with pytest.raises(EnvironmentFault) as caught:
        presence(Record(state=state)).install(str(bundle))
    assert caught.value.code == "update.busy"


def test_an_accepted_bundle_is_not_replaced_by_the_next(tmp_path: Path) -> None:
    first, second = tmp_path / "a.raucb", tmp_path / "b.raucb"
    first.touch()
    second.touch()
    seen = presence()
    seen.install(str(first))
    with pytest.raises(EnvironmentFault):
        seen.install(str(second))
    assert seen._inbox.take_install() == (str(first), Terms())


def test_what_makes_no_sense_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        presence(has_server=False).check()
    with pytest.raises(BundleError):
        presence().install(str(tmp_path))
    with pytest.raises(BundleError):
        presence().install(f"/{'x' * 300}")


@pytest.mark.req("S07")
@pytest.mark.parametrize("bus_first", [True, False])
def test_a_bus_that_ends_while_the_device_goes_down_is_no_defect_of_the_agent(bus_first: bool) -> None:
    seen = presence(Record(state=State.TRIAL))
    first, second = (seen._bus_lost, seen._stop_asked) if bus_first else (seen._stop_asked, seen._bus_lost)
    first()
    assert seen.lost is bus_first
    second()
    assert not seen.lost


def test_what_is_resumed_is_shown_from_the_first_moment() -> None:
    initial = presence(Record(state=State.TRIAL, version="2.0.0", target="B"))._initial()
    assert (initial["State"], initial["TargetVersion"], initial["TargetSlot"]) == ("trial", "2.0.0", "B")


def test_an_unreadable_ending_does_not_stop_the_start() -> None:
    disk = Disk()
    disk.documents["ending"] = {"finished": "never"}
    initial = presence(disk=disk)._initial()
    assert initial["Slot"] == "A"


@pytest.mark.req("S07")
def test_a_text_that_the_bus_cannot_carry_does_not_stop_the_work() -> None:
    """The fetcher meets the network: what it says about an error may be anything."""
    seen = presence()
    seen._service = served(seen)
    for text in ("a\0b", "\ud800", "x" * 100_000):
        seen.entered(Record(state=State.REPORTING, reason=Reason(text, text, text, text)))
        seen.tell({"ServerState": text})


def test_a_lost_bus_ends_the_daemon_when_it_rests_and_not_before() -> None:
    seen = presence(Record(state=State.STAGING))
    seen._bus_lost()
    seen._inbox.wait(0)
    seen.entered(Record(state=State.STAGED))
    seen._inbox.wait(0)
    seen.entered(Record())
    with pytest.raises(Stopped):
        seen._inbox.wait(0)
    assert seen.lost


def error_code(seen: Presence, slot: str) -> str:
    with pytest.raises((EnvironmentFault, ConfigError, PolicyError)) as caught:
        seen.scrub(slot)
    return caught.value.code


@pytest.mark.parametrize("state", [state for state in State if state is not State.IDLE])
def test_nothing_is_scrubbed_while_an_update_is_under_way(state: State) -> None:
    assert error_code(presence(Record(state=state)), "") == "update.busy"


def test_a_scrub_that_makes_no_sense_is_refused_at_once() -> None:
    seen = presence()
    assert (error_code(seen, "A"), error_code(seen, "rootfs.9")) == ("scrub.running", "slot.unknown")
    assert seen._inbox.take_scrub() is None


def test_one_scrub_at_a_time_and_each_has_its_number() -> None:
    seen = presence()
    seen.scrub("B")
    assert error_code(seen, "") == "scrub.busy"
    assert seen._inbox.take_scrub() == ("B", 1)
    seen.tell({"LastScrub": (1, "done", [])})
    seen.scrub("")
    assert seen._inbox.take_scrub() == ("", 2)


def test_a_scrub_under_way_can_be_cancelled() -> None:
    seen = presence()
    seen.scrub("B")
    seen.cancel()
    assert seen._inbox.take_cancel()


def test_an_update_that_comes_first_ends_a_scrub_that_has_not_begun() -> None:
    seen = presence()
    seen._service = served(seen)
    seen.scrub("B")
    seen.entered(Record(state=State.OFFERED))
    assert seen._service._server.properties()["Manager"]["LastScrub"][1:2] == ("done",)
    assert seen._inbox.take_scrub() is None


def test_slots_are_shown_with_what_is_known_of_them() -> None:
    disk = Disk()
    disk.documents["slots"] = {
        "schema": 2,
        "groups": {},
        "slots": {"rootfs.1": {"status": "ok", "bundle.version": "2"}},
    }
    slots = presence(disk=disk)._initial()["Slots"]
    assert slots["rootfs.0"] == {
        "class": "rootfs", "device": "/dev/A", "type": "raw", "bootname": "A", "state": "booted",
        "boot-status": "good",
    }  # fmt: skip
    assert (slots["rootfs.1"]["state"], slots["rootfs.1"]["bundle.version"]) == ("inactive", "2")


def test_what_a_bundle_says_of_itself_can_be_shown_whatever_it_is() -> None:
    disk = Disk()
    told = {"status": "ok", "filename": "a\0b", "bundle.description": "\ud800", "bundle.build": "1\n2\x1b[2J"}
    disk.documents["slots"] = {"schema": 2, "groups": {}, "slots": {"rootfs.1": told}}
    service = served(presence(), presence(disk=disk)._initial())
    shown = service._server.properties()["Manager"]["Slots"]["rootfs.1"]  # type: ignore[index]
    assert (shown["filename"], shown["bundle.description"], shown["bundle.build"]) == ("a?b", "?", "1?2?[2J")


def test_what_was_read_of_an_offer_stays_with_it_until_there_is_another_one() -> None:
    seen = presence()
    seen._service = served(seen)
    seen.tell({"Offer": {"action": "7", "metadata.severity": "high", "consent": ""}})
    seen.tell({"Offer": {"action": "7", "consent": "wanted"}})
    assert seen._service._server.properties()["Manager"]["Offer"] == {
        "action": "7",
        "metadata.severity": "high",
        "consent": "wanted",
    }
    seen.tell({"Offer": {"action": "8", "consent": ""}})
    assert seen._service._server.properties()["Manager"]["Offer"] == {"action": "8", "consent": ""}
    seen.tell({"Offer": {}})
    assert seen._service._server.properties()["Manager"]["Offer"] == {}


def test_a_check_too_soon_after_the_last_one_tells_when_it_is_possible() -> None:
    waits = iter([0.0, 12.2])
    inbox = Inbox()
    knowledge = Knowledge(Disk())  # type: ignore[arg-type]  # the same interface
    seen = Presence(
        inbox,
        device(Environment()),
        knowledge,
        Asked(),
        "none",
        has_server=True,
        record=Record(),
        until_check=lambda: next(waits),
    )
    seen.check()
    assert inbox.take_check()
    with pytest.raises(EnvironmentFault) as caught:
        seen.check()
    assert (caught.value.code, caught.value.details) == ("check.too-soon", "possible again in 13 s")
    assert not inbox.take_check()

"""The daemon as others see it: commands are refused at once, and being seen never stops the work."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.pretend import Disk, Environment, device

from agent.daemon.dbus_service import BusService
from agent.daemon.inbox import Inbox, Stopped
from agent.daemon.knowledge import Knowledge
from agent.daemon.machine import CANCELLABLE, State
from agent.daemon.presence import Presence
from agent.daemon.record import Reason, Record
from agent.errors import BundleError, ConfigError, EnvironmentFault, PolicyError


def presence(record: Record | None = None, disk: Disk | None = None, *, has_server: bool = True) -> Presence:
    knowledge = Knowledge(disk or Disk())  # type: ignore[arg-type]  # the same interface
    return Presence(Inbox(), device(Environment()), knowledge, "none", has_server=has_server, record=record or Record())


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
    assert seen._inbox.take_install() == str(first)


def test_what_makes_no_sense_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        presence(has_server=False).check()
    with pytest.raises(BundleError):
        presence().install(str(tmp_path))


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
    seen._service = BusService("none", seen)
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

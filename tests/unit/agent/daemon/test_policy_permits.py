"""The device's own policy at work in the activities: what is written, what is fetched, what the server is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.offers import BASE, Action, Hawkbit
from support.pretend import POLICY, Clock, Disk, Environment, Patient, Services, context, desk

from agent.daemon.activities import fetch as fetch_module
from agent.daemon.activities import stage as staging_module
from agent.daemon.activities.confirmation import Confirmations
from agent.daemon.activities.fetch import fetching
from agent.daemon.activities.idle import Idle
from agent.daemon.activities.offer import as_offered, offered
from agent.daemon.activities.permit import held, waiting
from agent.daemon.activities.settle import Settle
from agent.daemon.activities.stage import inspecting, staged, staging
from agent.daemon.context import Context
from agent.daemon.inbox import Consent, Stopped
from agent.daemon.machine import Event, State, advance
from agent.daemon.record import Record
from agent.errors import BundleError, PolicyError
from agent.wire import Frame

HASH = "ab" * 32
INSPECTED = {
    "op": "inspected", "compatible": "demo", "version": "2.0.0", "manifest_hash": HASH, "format": "verity", "signer": "x",
    "signed_at": 0, "handler": True, "images": [],
    "meta": {"cra": {"class": "security", "urgency": "critical", "summary-en": "Mends it", "junk": "x" * 9000}},
}  # fmt: skip


class Stage:
    """A device with a policy, an action on the server, and an installer in the hands of the test."""

    def __init__(self, **policy: object) -> None:
        self.clock = Clock()
        self.hawkbit = Hawkbit(self.clock)
        self.hawkbit.assign(Action("7"))
        self.disk = Disk()
        self.services = Services()
        self.inbox = Patient(self.clock)
        self.told: dict[str, object] = {}
        own = desk(
            self.disk, self.clock, self.inbox, policy=replace(POLICY, **policy), services=self.services,  # type: ignore[arg-type]
            tell=self.told.update,
        )  # fmt: skip
        self.here: Context = context(
            self.disk,
            Environment(),
            server=self.hawkbit,
            clock=self.clock,
            inbox=self.inbox,
            desk=own,
            tell=self.told.update,
        )

    def record(self, state: State, **fields: Any) -> Record:
        link = self.hawkbit.poll().deployment
        assert link is not None
        record = as_offered(
            self.here, Record(state=state, origin="server", action_id="7", href=link.href),
            self.hawkbit.deployment(link.href),
        )  # fmt: skip
        return replace(record, **{"version": "2.0.0", "manifest_hash": HASH, "target": "B", "fallback": "A", **fields})

    def after(self, polls: int, happen: Any) -> None:
        real, due = self.hawkbit.on_poll, self.hawkbit.polls + polls

        def poll() -> object:
            if self.hawkbit.polls == due:
                happen()
            return real()

        self.hawkbit.on_poll = poll

    @property
    def codes(self) -> list[int | None]:
        return [message.code for message in self.hawkbit.said]


@pytest.fixture
def installer(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    asked: list[dict[str, Any]] = []

    def work(_context: object, _record: Record, request: dict[str, Any], *_: object) -> Frame:
        asked.append(request)
        if request.get("whole") is False and request["op"] == "inspect":
            raise BundleError("consent.download-first", "all of the bundle must be downloaded")
        return Frame(INSPECTED)

    monkeypatch.setattr(staging_module, "work", work)
    monkeypatch.setattr(staging_module, "remove_spools", lambda *_: None)
    return asked


@pytest.mark.req("C05", "T14")
def test_the_signed_facts_arrive_in_the_record_bounded(
    installer: list[dict[str, Any]],
) -> None:
    stage = Stage()
    step = inspecting(stage.here, stage.record(State.INSPECTING, manifest_hash=""))
    assert step.event is Event.DONE
    assert step.record.facts == {"class": "security", "urgency": "critical", "summary-en": "Mends it"}
    assert waiting(stage.here, replace(step.record, state=State.WAITING)).event is Event.DONE
    assert "consent" not in stage.disk.documents, "what does not wait costs no write"
    assert installer[0]["whole"] is True


@pytest.mark.req("C05")
def test_an_opted_out_device_tells_the_server_and_installs_a_forced_update_only_after_approval() -> None:
    stage = Stage(auto_security=False)
    stage.after(3, lambda: stage.here.desk.approve("7"))
    step = waiting(stage.here, stage.record(State.WAITING))
    assert (step.event, step.record.consent, stage.codes) == (Event.DONE, "given", [123])
    assert "opted out" in stage.hawkbit.said[0].details[0]


@pytest.mark.req("C08")
def test_asked_before_the_download_a_plain_bundle_is_not_fetched_and_a_streamed_one_only_looked_at(
    installer: list[dict[str, Any]],
) -> None:
    stage = Stage(approval="ask-download")
    step = inspecting(stage.here, stage.record(State.INSPECTING, manifest_hash=""))
    assert (step.event, step.record.bundle_format) == (Event.HELD, "plain")
    stage.after(2, lambda: stage.here.desk.approve(""))
    step = held(stage.here, replace(step.record, state=State.HELD))
    assert (step.event, step.record.consent) == (Event.DONE, "given")
    assert inspecting(stage.here, step.record).event is Event.DONE
    assert [request["whole"] for request in installer] == [False, True]


def test_consent_that_the_server_was_given_by_somebody_here_is_not_asked_for_twice() -> None:
    stage = Stage(approval="ask-install")
    stage.hawkbit.change("7", status="WAIT_FOR_CONFIRMATION")
    idle = Idle(stage.here, Settle(stage.here))
    stage.after(1, lambda: stage.inbox.consent(Consent("7", approved=True)))
    step = idle(Record())
    assert (step.event, [message.execution for message in stage.hawkbit.said]) == (Event.OFFERED, ["confirmed"])
    step = offered(stage.here, replace(step.record, state=State.OFFERED))
    assert step.record.consent == "given"


def test_who_takes_back_what_was_said_to_the_server_is_asked_again() -> None:
    stage = Stage(approval="ask-install")
    stage.hawkbit.change("7", status="WAIT_FOR_CONFIRMATION")
    confirmations = Confirmations(stage.here)
    confirmations.offered(stage.hawkbit.poll().confirmation)
    confirmations.said(Consent("7", approved=True))
    confirmations.said(Consent("7", approved=False))
    stage.hawkbit.change("7", status="RUNNING")
    step = offered(
        stage.here, Record(state=State.OFFERED, origin="server", action_id="7", href=f"{BASE}/deploymentBase/7")
    )
    assert step.record.consent == ""


def test_a_local_window_is_waited_for_and_told_like_the_servers() -> None:
    stage = Stage(windows=("Wed 00:00-01:00",), time_zone="UTC")
    began = stage.clock.now
    step = waiting(stage.here, stage.record(State.WAITING))
    assert (step.event, stage.codes) == (Event.DONE, [121])
    assert 0 < stage.clock.now - began < 7 * 86400
    assert stage.clock.wall() % 86400 == pytest.approx(0, abs=1), "at midnight, not with the next poll"


@pytest.mark.req("C07")
def test_an_update_that_is_postponed_while_it_is_written_does_not_restart_the_device_before_that_is_over() -> None:
    stage = Stage()
    record = stage.record(State.STAGED)
    stage.here.desk.entered(record)
    stage.here.desk.postpone(7200)
    began = stage.clock.now
    assert staged(stage.here, record).event is Event.DONE
    assert stage.clock.now - began == pytest.approx(7200, abs=1)
    assert stage.codes[0] == 124


def test_a_lock_against_a_shutdown_holds_the_restart_and_not_the_writing() -> None:
    stage = Stage(inhibitors=True)
    stage.services.inhibitors = [("shutdown", "backup", "is running", "block")]
    assert waiting(stage.here, stage.record(State.WAITING)).event is Event.DONE
    assert stage.codes == []
    stage.after(4, stage.services.inhibitors.clear)
    assert staged(stage.here, stage.record(State.STAGED)).event is Event.DONE
    assert stage.codes[0] == 125


def test_a_connection_that_becomes_metered_interrupts_the_writing_which_keeps_its_checkpoints(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage(metered="avoid")

    def work(_context: object, _record: Record, _request: object, hear: Any, look: Any) -> Frame:
        hear(Frame({"op": "checkpoint", "image": "rootfs.img", "offset": 8 << 20}))
        stage.services.properties["Metered"] = 1
        stage.clock.now += 61
        look()
        raise AssertionError("the writing goes on")

    monkeypatch.setattr(staging_module, "work", work)
    step = staging(stage.here, stage.record(State.STAGING))
    assert (step.event, dict(step.record.checkpoints)) == (Event.HELD, {"rootfs.img": 8 << 20})
    stage.after(3, lambda: stage.services.properties.update(Metered=2))
    step = waiting(stage.here, replace(step.record, state=State.WAITING))
    assert (step.event, stage.codes[-1]) == (Event.DONE, 125)
    assert dict(step.record.checkpoints) == {"rootfs.img": 8 << 20}


def test_a_connection_that_becomes_metered_interrupts_a_download_too(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(metered="avoid")
    stage.hawkbit.change("7", update="skip")

    def work(_context: object, _record: Record, _request: object, _hear: object, look: Any = lambda: None) -> Frame:
        stage.services.properties["Metered"] = 1
        stage.clock.now += 61
        look()
        return Frame({"op": "fetched"})

    monkeypatch.setattr(fetch_module, "work", work)
    step = fetching(stage.here, stage.record(State.FETCHING))
    assert step.event is Event.HELD
    stage.after(3, lambda: stage.services.properties.update(Metered=2))
    step = waiting(stage.here, replace(step.record, state=advance(State.FETCHING, step.event)))
    assert (step.event, stage.codes[-1]) == (Event.FETCH, 125)


def test_an_opt_out_interrupts_the_writing_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()

    def work(_context: object, _record: Record, _request: object, _hear: object, look: Any) -> Frame:
        look()
        stage.here.desk.set_policy("auto-security", False, ":1.7")
        look()
        raise AssertionError("the writing goes on")

    monkeypatch.setattr(staging_module, "work", work)
    assert staging(stage.here, stage.record(State.STAGING)).event is Event.HELD


def test_a_stick_obeys_the_policy_while_the_server_is_polled_and_a_person_with_a_file_does_not_wait() -> None:
    stage = Stage(windows=("Wed 00:00-01:00",), time_zone="UTC")
    local = Record(
        state=State.WAITING, origin="local", version="2.0.0", manifest_hash=HASH, download="forced", update="forced"
    )
    began = stage.clock.now
    assert waiting(stage.here, replace(local, consent="now")).event is Event.DONE
    assert stage.clock.now == began
    assert waiting(stage.here, local).event is Event.DONE
    assert stage.clock.now > began
    assert stage.hawkbit.polls > 10
    assert stage.hawkbit.said == []


def test_a_file_that_somebody_hands_over_is_consent() -> None:
    stage = Stage()
    stage.hawkbit.actions.clear()
    stage.inbox.install("/some/where.raucb")
    step = Idle(stage.here, Settle(stage.here))(Record())
    assert (step.record.url, step.record.consent) == ("/some/where.raucb", "now")


def test_who_denies_a_postponed_update_ends_it() -> None:
    stage = Stage()
    record = stage.record(State.WAITING)
    stage.here.desk.entered(record)
    stage.here.desk.postpone(7200)
    stage.after(1, lambda: stage.here.desk.deny("7", "not at all"))
    with pytest.raises(PolicyError) as caught:
        waiting(stage.here, record)
    assert (caught.value.code, caught.value.details) == ("update.denied", "not at all")


def test_a_check_that_somebody_asks_for_does_not_end_a_local_update_that_waits() -> None:
    stage = Stage(power="ac")
    stage.services.properties.update(OnBattery=True)
    stage.inbox.check()
    stage.after(2, lambda: stage.services.properties.update(OnBattery=False))
    local = Record(state=State.WAITING, origin="local", version="2.0.0", manifest_hash=HASH, consent="now")
    assert waiting(stage.here, local).event is Event.DONE
    assert stage.hawkbit.polls > 1


def test_a_server_that_wants_a_bundle_only_fetched_after_all_does_not_restart_the_device() -> None:
    stage = Stage(windows=("Wed 00:00-01:00",), time_zone="UTC")
    stage.after(3, stage.inbox.stop)
    with pytest.raises(Stopped):
        staged(stage.here, stage.record(State.STAGED, update="skip", window=""))


def test_an_update_that_waits_for_a_person_polls_like_a_device_at_rest(tmp_path: Path) -> None:
    stage = Stage(approval="ask-install")
    stage.after(20, stage.inbox.stop)
    began = stage.clock.now
    with pytest.raises(Stopped):
        waiting(stage.here, stage.record(State.WAITING))
    assert stage.clock.now - began > 18 * 300

"""Waiting for a window, or for somebody: with the polls of a device at rest, and awake to whoever speaks."""

from __future__ import annotations

from itertools import groupby
from types import SimpleNamespace

import pytest
from support.offers import Action, Hawkbit, artifact, chunk
from support.pretend import Clock, Disk, Environment, Patient, context

from agent.daemon.activities.offer import as_offered, offered
from agent.daemon.activities.permit import held, waiting
from agent.daemon.context import Context
from agent.daemon.inbox import Cancelled, Consent, Stopped
from agent.daemon.machine import Event, State
from agent.daemon.record import Record, from_json
from agent.errors import OtaError, PolicyError

SOFT = {"download": "attempt", "update": "attempt"}
CLOSED = {"update": "skip", "window": "unavailable"}
OPEN = {"update": "forced", "window": "available"}


class Stage:
    """A device with an action, and things that happen after some polls."""

    def __init__(self, soft: str = "ask", **handling: str) -> None:
        self.clock = Clock()
        self.hawkbit = Hawkbit(self.clock)
        self.hawkbit.assign(Action("7", **handling))  # type: ignore[arg-type]  # its fields
        self.shown: list[dict[str, str]] = []
        self.disk = Disk()
        self.here: Context = context(
            self.disk, Environment(), server=self.hawkbit, clock=self.clock, inbox=Patient(self.clock), tell=self._tell
        )
        self.here.config.update.soft = soft  # type: ignore[misc]  # a namespace in tests

    def _tell(self, changes: object) -> None:
        if isinstance(changes, dict) and "Offer" in changes:
            self.shown.append(changes["Offer"])

    def record(self, state: State) -> Record:
        link = self.hawkbit.poll().deployment
        assert link is not None
        record = Record(state=state, origin="server", action_id="7", href=link.href)
        return as_offered(self.here, record, self.hawkbit.deployment(link.href))

    def after(self, polls: int, happen: object) -> None:
        real, due = self.hawkbit.on_poll, self.hawkbit.polls + polls

        def poll() -> object:
            if self.hawkbit.polls == due:
                happen()  # type: ignore[operator]
            return real()

        self.hawkbit.on_poll = poll

    @property
    def codes(self) -> list[int | None]:
        return [message.code for message in self.hawkbit.said]


@pytest.mark.req("S01")
def test_a_closed_window_is_waited_for_and_an_open_one_installs() -> None:
    stage = Stage(**CLOSED)
    stage.after(5, lambda: stage.hawkbit.change("7", **OPEN))
    began = stage.clock.now
    step = waiting(stage.here, stage.record(State.WAITING))
    assert (step.event, step.record.update, step.record.window) == (Event.DONE, "forced", "available")
    assert stage.codes == [121], "said once, whatever it takes"
    assert stage.clock.now - began > 3 * 300, "it asks as often as a device at rest"


def test_a_window_that_closed_before_the_writing_began_is_noticed() -> None:
    stage = Stage(**OPEN)
    record = stage.record(State.WAITING)
    stage.hawkbit.change("7", **CLOSED)
    stage.after(4, lambda: stage.hawkbit.change("7", **OPEN))
    assert waiting(stage.here, record).record.window == "available"
    assert stage.codes == [121]


def test_the_deployment_is_read_again_only_when_its_link_has_changed() -> None:
    stage = Stage(**CLOSED)
    stage.after(9, lambda: stage.hawkbit.change("7", **OPEN))
    record = stage.record(State.WAITING)
    before = stage.hawkbit.reads
    waiting(stage.here, record)
    # Once because our own message is an entry in the action's history, and once because the window has opened.
    assert stage.hawkbit.reads - before == 2
    assert stage.hawkbit.polls >= 8


def test_a_soft_assignment_is_not_even_looked_at_before_somebody_approves() -> None:
    stage = Stage(**SOFT)
    step = offered(stage.here, stage.record(State.OFFERED))
    assert step.event is Event.HELD
    stage.after(3, lambda: stage.here.inbox.consent(Consent("7", approved=True)))
    step = held(stage.here, step.record)
    assert (step.event, step.record.consent) == (Event.DONE, "given")
    assert [key for key, _ in groupby(each["consent"] for each in stage.shown)] == ["", "wanted", ""]
    assert stage.disk.documents["record"]["consent"] == "given", "an approval outlasts a restart"


def test_a_soft_assignment_needs_nobody_where_the_device_says_so() -> None:
    stage = Stage(soft="install", **SOFT)
    assert offered(stage.here, stage.record(State.OFFERED)).event is Event.DONE
    assert waiting(stage.here, stage.record(State.WAITING)).event is Event.DONE


def test_a_daemon_that_starts_while_somebody_is_asked_shows_it_again() -> None:
    stage = Stage(**SOFT)
    record = stage.record(State.HELD)
    stage.after(2, stage.here.inbox.stop)
    with pytest.raises(Stopped):
        held(stage.here, record)
    record = stage.here.memory.record
    stage.here.inbox._stop = False
    stage.shown.clear()
    stage.after(2, stage.here.inbox.stop)
    with pytest.raises(Stopped):
        held(stage.here, record)
    assert stage.shown[-1]["consent"] == "wanted"
    assert stage.codes == [120], "the server was told before"


def test_soft_becomes_forced_while_it_waits() -> None:
    stage = Stage(**SOFT)
    stage.after(3, lambda: stage.hawkbit.change("7", download="forced", update="forced"))
    step = held(stage.here, stage.record(State.HELD))
    assert (step.event, step.record.consent) == (Event.DONE, "")


def test_a_denied_soft_assignment_ends_with_the_reason() -> None:
    stage = Stage(**SOFT)
    stage.here.inbox.consent(Consent("7", approved=False, reason="the machine is in use"))
    with pytest.raises(PolicyError) as caught:
        held(stage.here, stage.record(State.HELD))
    assert (caught.value.code, caught.value.details) == ("update.denied", "the machine is in use")


def test_what_was_confirmed_and_waits_for_its_window_can_still_be_denied() -> None:
    stage = Stage(**CLOSED)
    stage.after(3, lambda: stage.here.inbox.consent(Consent("7", approved=False, reason="not any more")))
    with pytest.raises(PolicyError) as caught:
        waiting(stage.here, stage.record(State.WAITING))
    assert (caught.value.code, caught.value.details) == ("update.denied", "not any more")


def test_what_was_said_about_another_action_is_void() -> None:
    stage = Stage(**SOFT)
    stage.here.inbox.consent(Consent("6", approved=True))
    stage.after(5, stage.here.inbox.stop)
    with pytest.raises(Stopped):
        held(stage.here, stage.record(State.HELD))


def test_a_download_only_assignment_goes_to_fetching() -> None:
    stage = Stage(update="skip")
    assert waiting(stage.here, stage.record(State.WAITING)).event is Event.FETCH
    assert stage.codes == []


@pytest.mark.parametrize("soft", [True, False])
def test_a_cancellation_ends_the_waiting(soft: bool) -> None:
    stage = Stage(**(SOFT if soft else CLOSED))
    stage.after(3, lambda: stage.hawkbit.change("7", status="CANCELING"))
    with pytest.raises(Cancelled) as caught:
        waiting(stage.here, stage.record(State.WAITING))
    assert (caught.value.by_server, caught.value.vanished) == (True, False)


def test_a_person_is_heard_at_once_and_not_at_the_next_poll() -> None:
    stage = Stage(**CLOSED)
    stage.after(2, stage.here.inbox.cancel)
    with pytest.raises(Cancelled) as caught:
        waiting(stage.here, stage.record(State.WAITING))
    assert not caught.value.by_server
    assert stage.hawkbit.polls <= 4


def test_another_bundle_under_the_same_id_is_a_new_action() -> None:
    stage = Stage(**CLOSED)
    stage.after(3, lambda: stage.hawkbit.change("7", chunks=(chunk(artifact(digest="b")),)))
    with pytest.raises(Cancelled) as caught:
        waiting(stage.here, stage.record(State.WAITING))
    assert caught.value.vanished


@pytest.mark.req("S09")
def test_hours_without_a_network_change_nothing_and_cost_no_attempts() -> None:
    stage = Stage(**CLOSED)
    record = stage.record(State.WAITING)
    stage.hawkbit.down = True
    began = stage.clock.now
    waits = stage.here.inbox.wait

    def wait(*arguments: object) -> object:
        if stage.clock.now - began > 40_000:
            stage.hawkbit.down = False
            stage.hawkbit.actions["7"].window, stage.hawkbit.actions["7"].update = "available", "forced"
            stage.hawkbit.actions["7"].revision += 1
        return waits(*arguments)  # type: ignore[arg-type]  # passed through

    stage.here.inbox.wait = wait  # type: ignore[method-assign,assignment]  # the moment is what matters
    step = waiting(stage.here, record)
    assert (step.event, step.record.attempts) == (Event.DONE, 0)
    assert stage.hawkbit.polls < 100


def test_an_assignment_that_changes_into_one_we_cannot_install_ends_with_the_reason() -> None:
    stage = Stage(**CLOSED)
    stage.after(3, lambda: stage.hawkbit.change("7", chunks=(chunk(artifact("a.raucb"), artifact("b.raucb")),)))
    with pytest.raises(OtaError) as caught:
        waiting(stage.here, stage.record(State.WAITING))
    assert caught.value.code == "ddi.unsupported-deployment"


def test_a_local_update_waits_for_nothing() -> None:
    here = context(Disk(), Environment(), server=SimpleNamespace())
    step = waiting(here, Record(state=State.WAITING, origin="local", download="forced", update="forced"))
    assert step.event is Event.DONE


@pytest.mark.req("S01")
def test_a_window_that_the_server_cannot_be_asked_about_counts_as_closed_until_it_answers() -> None:
    stage = Stage(**OPEN)
    record = stage.record(State.WAITING)
    stage.hawkbit.down = True
    began, waits = stage.clock.now, stage.here.inbox.wait

    def wait(*arguments: object) -> object:
        stage.hawkbit.down = stage.clock.now - began < 5000
        return waits(*arguments)  # type: ignore[arg-type]  # passed through

    stage.here.inbox.wait = wait  # type: ignore[method-assign,assignment]  # the moment is what matters
    step = waiting(stage.here, record)
    assert (step.event, step.record.window) == (Event.DONE, "available")
    assert stage.clock.now - began >= 5000


def test_what_waits_for_a_server_that_is_not_configured_any_more_ends_with_the_reason() -> None:
    stage = Stage(**CLOSED)
    here = context(Disk(), Environment(), server=None)
    with pytest.raises(OtaError) as caught:
        waiting(here, stage.record(State.WAITING))
    assert caught.value.code == "server.none"


def test_what_an_older_agent_left_waiting_is_read_anew() -> None:
    stage = Stage(update="skip")
    link = stage.hawkbit.poll().deployment
    assert link is not None
    known = Record(
        state=State.WAITING, origin="server", action_id="7", href=link.href, name="b.raucb", size=1000, sha256="a" * 64,
        update="skip",
    )  # fmt: skip
    since = ("download", "window", "consent", "told", "artifact", "announced", "expected", "switched")
    values = {key: value for key, value in known.to_json().items() if key not in since}
    assert waiting(stage.here, from_json({**values, "schema": 2})).event is Event.FETCH

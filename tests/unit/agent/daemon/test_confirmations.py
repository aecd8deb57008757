"""The server wants to be told that it may: it is told once, by the rule or by somebody, and a denial is remembered."""

from __future__ import annotations

import pytest
from support.offers import Action, Hawkbit, artifact, chunk
from support.pretend import Clock, Disk, Environment, Patient, context

from agent.daemon.activities.idle import Idle
from agent.daemon.context import Context
from agent.daemon.inbox import Consent, Stopped
from agent.daemon.machine import Event
from agent.daemon.record import Record


class Stage:
    """A device at rest, and an action that waits to be confirmed."""

    def __init__(self, rule: str = "ask", disk: Disk | None = None, action: Action | None = None) -> None:
        self.clock = Clock()
        self.hawkbit = Hawkbit(self.clock)
        self.hawkbit.assign(action or Action("7", status="WAIT_FOR_CONFIRMATION"))
        self.disk = disk or Disk()
        self.shown: list[dict[str, str]] = []
        self.here: Context = context(
            self.disk, Environment(), server=self.hawkbit, clock=self.clock, inbox=Patient(self.clock), tell=self._tell
        )
        self.here.config.server.confirmation = rule  # type: ignore[misc]  # a namespace in tests
        self.idle = Idle(self.here, lambda: None)

    def _tell(self, changes: object) -> None:
        if isinstance(changes, dict) and "Offer" in changes:
            self.shown.append(changes["Offer"])

    def run(self, polls: int) -> Record | None:
        """Rests until there is an offer; None when there is none within so many polls."""
        real, due = Hawkbit._answer, self.hawkbit.polls + polls

        def poll() -> object:
            if self.hawkbit.polls >= due:
                self.here.inbox.stop()
            return real(self.hawkbit)

        self.hawkbit.on_poll = poll
        try:
            step = self.idle(Record())
        except Stopped:
            self.here.inbox._stop = False
            return None
        assert step.event is Event.OFFERED
        return step.record

    @property
    def answers(self) -> list[tuple[str, str, int | None]]:
        return [(m.action_id, m.execution, m.code) for m in self.hawkbit.said if m.kind == "confirmation"]


@pytest.mark.parametrize("rule", ["confirm", "auto"])  # with auto, a server that does not confirm by itself asks
def test_by_rule_it_is_confirmed_and_the_deployment_is_taken_up_at_once(rule: str) -> None:
    stage = Stage(rule)
    began = stage.clock.now
    record = stage.run(5)
    assert record is not None
    assert record.action_id == "7"
    assert stage.answers == [("7", "confirmed", 220)]
    assert stage.clock.now - began < 30


def test_by_rule_it_is_denied_and_that_is_said_once() -> None:
    stage = Stage("deny")
    assert stage.run(6) is None
    assert stage.answers == [("7", "denied", 221)]
    assert stage.shown[-1]["consent"] == "denied"


@pytest.mark.req("C08")
def test_a_denial_outlasts_the_daemon() -> None:
    first = Stage("ask")
    first.here.inbox.consent(Consent("7", approved=False))
    first.run(2)
    first.here.inbox.consent(Consent("7", approved=False, reason="not today"))
    first.run(2)
    assert first.answers == [("7", "denied", 221)]
    assert "not today" in first.hawkbit.said[-1].details[0]
    second = Stage("ask", disk=first.disk)
    assert second.run(4) is None
    assert second.answers == []
    assert second.shown[-1]["consent"] == "denied"


def test_somebody_is_asked_and_may_change_their_mind() -> None:
    stage = Stage("ask")
    assert stage.run(3) is None
    assert stage.shown[-1]["consent"] == "wanted"
    assert stage.answers == []
    stage.here.inbox.consent(Consent("7", approved=False))
    assert stage.run(3) is None
    stage.here.inbox.consent(Consent("7", approved=True))
    assert stage.run(5) is not None
    assert [word for _, word, _ in stage.answers] == ["denied", "confirmed"]


def test_an_answer_that_is_repeated_is_told_once() -> None:
    stage = Stage("ask")
    assert stage.run(3) is None
    for _ in range(5):
        stage.here.inbox.consent(Consent("7", approved=False))
        assert stage.run(3) is None
    assert [word for _, word, _ in stage.answers] == ["denied"]


def test_what_was_said_to_a_local_file_is_no_answer_to_the_server() -> None:
    stage = Stage("ask")
    assert stage.run(3) is None
    stage.here.inbox.consent(Consent("", approved=True, now=True))
    assert stage.run(3) is None
    assert stage.answers == []


@pytest.mark.parametrize(("rule", "answers", "shown"), [("ask", 1, "wanted"), ("confirm", 1, "confirmed")])
def test_a_confirmation_that_was_revoked_is_asked_about_again_and_never_given_again_by_rule(
    rule: str, answers: int, shown: str
) -> None:
    stage = Stage(rule)
    if rule == "ask":
        stage.run(1)
        stage.here.inbox.consent(Consent("7", approved=True))
    assert stage.run(3) is not None
    stage.hawkbit.change("7", status="WAIT_FOR_CONFIRMATION")
    assert stage.run(4) is None
    assert (len(stage.answers), stage.shown[-1]["consent"]) == (answers, shown)


def test_what_is_asked_about_is_shown_with_what_the_server_says_of_it() -> None:
    action = Action("7", status="WAIT_FOR_CONFIRMATION", chunks=(chunk(**{"cra.severity": "critical"}),))
    stage = Stage("ask", action=action)
    stage.run(1)
    told = stage.shown[-1]
    assert (told["action"], told["version"], told["metadata.cra.severity"]) == ("7", "2.0.0", "critical")


def test_the_same_id_with_another_bundle_is_another_question() -> None:
    stage = Stage("deny")
    stage.run(2)
    stage.hawkbit.change("7", chunks=(chunk(artifact(digest="b")),))
    stage.run(2)
    assert len(stage.answers) == 2


def test_what_this_device_cannot_install_is_denied_with_the_reason_whoever_is_asked() -> None:
    action = Action("7", status="WAIT_FOR_CONFIRMATION", chunks=(chunk(artifact("a.bin"), artifact("b.bin")),))
    stage = Stage("ask", action=action)
    assert stage.run(4) is None
    assert stage.answers == [("7", "denied", 1703)]
    assert "a.bin" in stage.hawkbit.said[-1].details[0]


def test_a_question_that_is_gone_is_not_shown_any_more_and_an_answer_to_it_is_void() -> None:
    stage = Stage("ask")
    stage.run(1)
    stage.hawkbit.change("7", status="CANCELED")
    stage.here.inbox.check()
    stage.run(2)
    assert stage.shown[-1] == {}
    stage.here.inbox.consent(Consent("7", approved=True))
    stage.run(2)
    assert stage.answers == []


def test_a_cancellation_of_what_waits_is_accepted() -> None:
    stage = Stage("ask")
    stage.run(1)
    stage.hawkbit.change("7", status="CANCELING")
    stage.run(3)
    assert stage.hawkbit.ended == [("7", "cancelled")]


def test_a_file_can_be_installed_while_the_server_waits_for_consent() -> None:
    stage = Stage("ask")
    stage.run(1)
    stage.here.inbox.install("/tmp/x.raucb")
    record = stage.run(3)
    assert record is not None
    assert record.origin == "local"


def test_a_question_is_shown_again_as_soon_as_something_else_has_ended() -> None:
    stage = Stage("ask")
    stage.run(1)
    stage.shown.append({})  # what resting begins with
    stage.hawkbit.plan.next_poll = 1e12
    stage.here.inbox.install("/tmp/x.raucb")
    stage.idle(Record())
    assert stage.shown[-1].get("consent") == "wanted"


def test_the_document_is_read_once_as_long_as_its_link_stays_the_same() -> None:
    stage = Stage("ask")
    stage.run(6)
    assert stage.hawkbit.reads == 1

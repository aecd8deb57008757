"""A request that arrives while the server is being asked is not forgotten until the next poll."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.pretend import Disk, Environment, Plan, context

from agent.daemon.activities.idle import Idle
from agent.daemon.inbox import Inbox, Stopped
from agent.daemon.record import Record
from agent.errors import EnvironmentFault
from agent.hawkbit.model import Base, Link


class Asked:
    """A server that is asked; during the first poll a request arrives, and its bell is heard by who waits for the answer."""

    def __init__(self, inbox: Inbox, arrive: Callable[[], None]) -> None:
        self.plan = Plan()
        self.polls = 0
        self.problem: EnvironmentFault | None = None
        self._inbox = inbox
        self._arrive = arrive
        self.answer = Base()

    def poll(self, *, keep: bool = False) -> Base:
        self.polls += 1
        self.plan.next_poll = 1e12
        if self.polls == 1:
            self._arrive()
            self._inbox.wait(0)
        else:
            self._inbox.stop()
        return self.answer

    def dismiss(self) -> None:
        pass


@pytest.mark.timeout(10)
def test_a_check_asked_for_during_a_poll_is_made() -> None:
    inbox = Inbox()
    server = Asked(inbox, inbox.check)
    with pytest.raises(Stopped):
        Idle(context(Disk(), Environment(), inbox=inbox, server=server), lambda: None)(Record())  # type: ignore[arg-type]
    assert server.polls == 2


@pytest.mark.timeout(10)
def test_an_installation_asked_for_during_a_poll_begins() -> None:
    inbox = Inbox()
    server = Asked(inbox, lambda: inbox.install("/tmp/update.raucb"))
    step = Idle(context(Disk(), Environment(), inbox=inbox, server=server), lambda: None)(Record())  # type: ignore[arg-type]
    assert (step.record.origin, step.record.url) == ("local", "/tmp/update.raucb")


@pytest.mark.timeout(10)
def test_an_installation_asked_for_during_a_poll_does_not_wait_for_what_the_poll_offers() -> None:
    inbox = Inbox()
    server = Asked(inbox, lambda: inbox.install("/tmp/update.raucb"))
    server.answer = Base(deployment=Link("https://server/deploymentBase/7", "7"))
    step = Idle(context(Disk(), Environment(), inbox=inbox, server=server), lambda: None)(Record())  # type: ignore[arg-type]
    assert step.record.origin == "local", "what was accepted would come as a surprise after a maintenance window"


@pytest.mark.timeout(10)
def test_a_report_that_the_server_refuses_as_malformed_is_shown_to_people() -> None:
    inbox = Inbox()
    server = Asked(inbox, inbox.check)
    server.problem = EnvironmentFault("ddi.feedback-refused", "it is refused", resolution="close it by hand")
    told: list[object] = []
    here = context(
        Disk(), Environment(), inbox=inbox, server=server, tell=lambda changes: told.append(changes.get("LastError"))
    )
    with pytest.raises(Stopped):
        Idle(here, lambda: None)(Record())  # type: ignore[arg-type]  # a settling that does nothing
    assert ("ddi.feedback-refused", "it is refused", "close it by hand") in told

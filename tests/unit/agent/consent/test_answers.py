"""What people may answer to an offer, and that nothing else is taken for an answer."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.pretend import Clock, Disk, desk

from agent.consent.desk import Desk
from agent.consent.rules import Hold
from agent.daemon.inbox import Inbox
from agent.daemon.machine import State
from agent.daemon.record import Record
from agent.errors import PolicyError


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def people(inbox: Inbox) -> Desk:
    return desk(Disk(), Clock(), inbox)


def refused(call) -> str:
    with pytest.raises(PolicyError) as caught:
        call()
    return caught.value.code


def test_consent_is_taken_only_for_what_is_offered_and_waits_for_it(people: Desk, inbox: Inbox) -> None:
    assert refused(lambda: people.approve("")) == "consent.none"
    people.offering("7", "")
    assert refused(lambda: people.approve("")) == "consent.none"
    people.offering("7", "wanted")
    assert refused(lambda: people.approve("6")) == "consent.none"
    people.approve("")
    assert inbox.take_consent() == ("7", True, "", False)


def test_what_was_approved_can_be_denied_while_it_still_waits(people: Desk, inbox: Inbox) -> None:
    people.offering("7", "")
    assert refused(lambda: people.deny("6", "")) == "consent.none"
    people.deny("7", "not now")
    assert inbox.take_consent() == ("7", False, "not now", False)


def test_an_update_whose_end_is_being_told_takes_no_answers(people: Desk) -> None:
    record = Record(state=State.WAITING, origin="local", version="2.0.0", manifest_hash="ab" * 32)
    people.entered(record)
    people.waits(record, (Hold.POWER,))
    people.entered(replace(record, state=State.REPORTING))
    assert refused(people.install_now) == "consent.none"
    assert refused(lambda: people.postpone(60)) == "consent.none"


def test_what_was_denied_can_still_be_approved_and_what_is_gone_cannot(people: Desk, inbox: Inbox) -> None:
    people.offering("7", "denied")
    people.approve("7")
    assert inbox.take_consent() == ("7", True, "", False)
    people.offering("", "")
    assert refused(lambda: people.approve("7")) == "consent.none"

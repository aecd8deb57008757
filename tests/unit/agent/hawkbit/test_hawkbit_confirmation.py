"""Answers to a confirmation: hawkBit's own words, and of two that still wait the newer one."""

from __future__ import annotations

import json

import pytest

from agent.hawkbit import feedback, outbox_form
from agent.hawkbit.answers import Answer
from agent.hawkbit.feedback import Feedback
from agent.hawkbit.outbox import Outbox


@pytest.mark.parametrize("answer", [feedback.confirmed, feedback.denied])
def test_an_answer_has_the_body_and_the_address_of_ddi(answer: type[Feedback]) -> None:
    sent = answer("8", "why", code=7)
    assert (sent.path, sent.terminal) == ("confirmationBase/8/feedback", True)
    assert json.loads(sent.body(1627997501890)) == {"confirmation": answer.__name__, "code": 7, "details": ["why"]}
    assert json.loads(sent.body(1, minimal=True)) == {"confirmation": answer.__name__, "details": ["why"]}


def test_an_answer_survives_its_storage() -> None:
    outbox = Outbox().add(feedback.denied("8", "not now", code=7))
    assert outbox_form.from_json(outbox_form.to_json(outbox)) == outbox


@pytest.mark.parametrize(("kind", "execution"), [("confirmation", "closed"), ("deployment", "confirmed")])
def test_the_words_of_a_confirmation_fit_nothing_else(kind: str, execution: str) -> None:
    with pytest.raises(ValueError, match="confirmed or denied"):
        Feedback(kind, "1", execution, "success", None, (), terminal=True)  # type: ignore[arg-type]  # the point of it


def test_of_two_answers_that_wait_the_newer_one_is_sent() -> None:
    outbox = Outbox().add(feedback.denied("8")).add(feedback.confirmed("8")).add(feedback.denied("9"))
    assert [(e.feedback.action_id, e.feedback.execution) for e in outbox.entries] == [
        ("8", "confirmed"),
        ("9", "denied"),
    ]
    first = Outbox().add(feedback.denied("8")).next()
    assert first is not None
    assert outbox.settle(first, Answer(200)) == outbox, "the answer to the one does not settle the other"


@pytest.mark.parametrize("status", [404, 410])
def test_a_server_that_does_not_wait_any_more_has_been_answered(status: int) -> None:
    outbox = Outbox().add(feedback.confirmed("8"))
    assert outbox.settle(outbox.entries[0], Answer(status)).next() is None

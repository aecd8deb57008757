"""Feedback arrives in order, and the verdict always arrives."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import EnvironmentFault
from agent.hawkbit import feedback
from agent.hawkbit.outbox import MAX_INTERMEDIATE, Outbox, verdict


def filled(*messages: feedback.Feedback) -> Outbox:
    outbox = Outbox()
    for message in messages:
        outbox = outbox.add(message)
    return outbox


def order(outbox: Outbox) -> list[str]:
    return [f"{e.feedback.action_id}:{e.feedback.execution}" for e in outbox.entries]


def test_an_empty_outbox_has_nothing_to_send() -> None:
    assert Outbox().next() is None


def test_messages_leave_in_the_order_they_came() -> None:
    outbox = filled(feedback.proceeding("1", "a"), feedback.success("1"), feedback.proceeding("2", "b"))
    assert order(outbox) == ["1:proceeding", "1:closed", "2:proceeding"]
    first = outbox.next()
    assert first is not None
    assert order(outbox.settle(first, 200)) == ["1:closed", "2:proceeding"]


def test_the_first_verdict_stands() -> None:
    outbox = filled(feedback.failure("1", "real"), feedback.success("1"), feedback.failure("1", "real"))
    assert [e.feedback.finished for e in outbox.entries] == ["failure"]


@pytest.mark.req("S08")
def test_a_success_that_still_waits_gives_way_to_a_failure() -> None:
    outbox = filled(feedback.success("1"), feedback.proceeding("2", "b"), feedback.failure("1", "it is gone"))
    assert [e.feedback.finished for e in outbox.entries] == ["failure", "none"]
    was = filled(feedback.success("1")).next()
    assert was is not None
    assert outbox.settle(was, 200) == outbox, "an answer to the one does not settle the other"


def test_a_late_intermediate_message_goes_before_the_verdict() -> None:
    outbox = filled(feedback.success("1"), feedback.proceeding("2"), feedback.proceeding("1", "late"))
    assert order(outbox) == ["1:proceeding", "1:closed", "2:proceeding"]


def test_an_answer_to_a_cancel_and_a_verdict_are_different_messages() -> None:
    assert len(filled(feedback.cancel_accepted("1"), feedback.failure("1")).entries) == 2


def test_many_intermediate_messages_are_merged_and_keep_the_newest_lines() -> None:
    outbox = filled(*[feedback.proceeding("1", f"line {n}") for n in range(70)], feedback.success("1"))
    assert len(outbox.entries) == MAX_INTERMEDIATE + 1
    lines = [line for e in outbox.entries for line in e.feedback.details]
    assert lines == [f"line {n}" for n in range(70 - len(lines), 70)]
    assert len(lines) >= 40


@pytest.mark.parametrize("status", [200, 201, 404, 405, 410])
def test_a_closed_action_counts_as_delivered(status: int) -> None:
    outbox = filled(feedback.success("1"))
    assert outbox.settle(outbox.entries[0], status).next() is None


@pytest.mark.req("S09")
@pytest.mark.parametrize("status", [None, 401, 403, 408, 409, 429, 500, 503, 302])
def test_a_verdict_is_kept_until_the_server_has_it(status: int | None) -> None:
    outbox = filled(feedback.success("1", "x"))
    for _ in range(50):
        entry = outbox.next()
        assert entry is not None
        assert verdict(entry, status) == "kept"
        outbox = outbox.settle(entry, status)
    assert order(outbox) == ["1:closed"]


@pytest.mark.parametrize("status", [400, 415, 422])
def test_a_refused_message_is_sent_once_more_without_optional_fields_and_then_dropped(status: int) -> None:
    outbox = Outbox().add(feedback.failure("1", "why", code=5), timestamp_ms=1000)
    entry = outbox.entries[0]
    assert {"timestamp", "status"} == set(json.loads(entry.body()))
    outbox = outbox.settle(entry, status)
    again = outbox.next()
    assert again is not None
    assert again.stripped
    assert "code" not in json.loads(again.body())["status"]
    assert "timestamp" not in json.loads(again.body())
    assert outbox.settle(again, status).next() is None


def test_a_used_up_quota_does_not_hold_back_the_verdict() -> None:
    outbox = filled(feedback.proceeding("1", "a"), feedback.proceeding("1", "b"), feedback.success("1"))
    for _ in range(3):
        entry = outbox.next()
        assert entry is not None
        outbox = outbox.settle(entry, 429)
    assert order(outbox) == ["1:closed"]


def test_a_verdict_that_is_refused_for_ever_lets_other_actions_pass() -> None:
    outbox = filled(feedback.success("1"), feedback.success("2"))
    for _ in range(10):
        entry = outbox.next()
        assert entry is not None
        outbox = outbox.settle(entry, 500)
    assert order(outbox) == ["2:closed", "1:closed"]


def test_settling_what_is_no_longer_there_changes_nothing() -> None:
    outbox = filled(feedback.success("1"))
    entry = outbox.entries[0]
    assert outbox.settle(entry, 200).settle(entry, 200) == Outbox()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"schema":2,"entries":[]}',
        b'{"schema":1,"entries":[1]}',
        b'{"schema":1,"entries":[{"number":-1}]}',
        b'{"schema":1,"entries":' + b"[" * 50_000,
        json.dumps({"schema": 1, "entries": [{}] * 2001}).encode(),
        b" " * (8 * 1024 * 1024 + 1),
    ],
)
def test_a_damaged_stored_outbox_is_an_explained_error(data: bytes) -> None:
    with pytest.raises(EnvironmentFault) as caught:
        Outbox.from_json(data)
    assert caught.value.code == "ddi.outbox-unreadable"


messages = st.builds(
    lambda make, action, text: make(action, text),
    st.sampled_from(
        [feedback.proceeding, feedback.proceeding, feedback.success, feedback.failure, feedback.cancel_accepted]
    ),
    st.sampled_from(["1", "2", "3"]),
    st.text(max_size=20),
)
answers = st.sampled_from([None, 200, 404, 410, 409, 429, 500, 401, 400])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(messages, answers), max_size=80))
def test_whatever_happens_order_and_verdicts_are_kept(history: list[Any]) -> None:
    outbox = Outbox()
    owed: set[tuple[str, str]] = set()
    for event in history:
        if isinstance(event, feedback.Feedback):
            outbox = outbox.add(event)
            if event.terminal:
                owed.add((event.kind, event.action_id))
        elif (entry := outbox.next()) is not None:
            if entry.feedback.terminal and verdict(entry, event) in ("delivered", "dropped"):
                owed.discard((entry.feedback.kind, entry.feedback.action_id))
            outbox = outbox.settle(entry, event)
        terminals = [(e.feedback.kind, e.feedback.action_id) for e in outbox.entries if e.feedback.terminal]
        assert sorted(terminals) == sorted(owed)
        for n, (kind, action) in enumerate(terminals):
            at = [
                e.feedback.terminal for e in outbox.entries if (e.feedback.kind, e.feedback.action_id) == terminals[n]
            ]
            assert at.index(True) == len(at) - 1, (kind, action)
        assert sum(not e.feedback.terminal for e in outbox.entries) <= 60
    assert Outbox.from_json(outbox.to_json()) == outbox

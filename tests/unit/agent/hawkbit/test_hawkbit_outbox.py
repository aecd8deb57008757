"""The outbox: first things first, last words never lost, intermediate ones within bounds."""

from __future__ import annotations

import json

import pytest

from agent.hawkbit import feedback
from agent.hawkbit.answers import Answer
from agent.hawkbit.outbox import MAX_INTERMEDIATE, MAX_MESSAGES, MAX_OWED, PATIENCE, Entry, Outbox, Refusal

OK, BUSY, BROKEN = Answer(200), Answer(409), Answer(500)


def filled(*messages: feedback.Feedback) -> Outbox:
    outbox = Outbox()
    for message in messages:
        outbox = outbox.add(message)
    return outbox


def order(outbox: Outbox) -> list[str]:
    return [f"{e.feedback.action_id}:{e.feedback.execution}" for e in outbox.entries]


def first(outbox: Outbox) -> Entry:
    entry = outbox.next(stuck=True)
    assert entry is not None
    return entry


def refused(outbox: Outbox, times: int, answer: Answer = BUSY) -> Outbox:
    for _ in range(times):
        outbox = outbox.settle(first(outbox), answer)
    return outbox


def test_an_empty_outbox_has_nothing_to_send() -> None:
    assert Outbox().next() is None
    assert not Outbox().blocked


def test_messages_leave_in_order() -> None:
    outbox = filled(feedback.proceeding("1", "a"), feedback.success("1"), feedback.proceeding("2", "b"))
    assert order(outbox) == ["1:proceeding", "1:closed", "2:proceeding"]
    assert order(outbox.settle(first(outbox), OK)) == ["1:closed", "2:proceeding"]


@pytest.mark.req("S08")
def test_the_first_verdict_of_an_action_stands() -> None:
    outbox = filled(feedback.failure("1", "real"), feedback.success("1"), feedback.failure("1", "real"))
    assert [e.feedback.finished for e in outbox.entries] == ["failure"]


@pytest.mark.req("S08")
def test_a_success_that_was_not_told_yet_gives_way_to_a_failure() -> None:
    outbox = filled(feedback.success("1"), feedback.proceeding("2", "b"))
    was = first(outbox)
    outbox = outbox.add(feedback.failure("1", "it is gone"))
    assert [e.feedback.finished for e in outbox.entries] == ["failure", "none"]
    assert outbox.settle(was, OK) == outbox, "an answer to the one does not settle the other"


def test_a_late_intermediate_message_goes_before_the_verdict_of_its_action() -> None:
    outbox = filled(feedback.success("1"), feedback.proceeding("2"), feedback.proceeding("1", "late"))
    assert order(outbox) == ["1:proceeding", "1:closed", "2:proceeding"]


def test_the_same_words_twice_in_a_row_are_one_message() -> None:
    same = feedback.proceeding("1", "half of it is written")
    assert len(filled(same, same, same).entries) == 1
    assert len(filled(same, feedback.proceeding("1", "more"), same).entries) == 3


def test_many_intermediate_messages_are_merged_and_keep_the_newest_lines() -> None:
    outbox = filled(*[feedback.proceeding("1", f"line {n}") for n in range(70)], feedback.success("1"))
    assert len(outbox.entries) == MAX_INTERMEDIATE + 1
    lines = [line for e in outbox.entries for line in e.feedback.details]
    assert lines == [f"line {n}" for n in range(70 - len(lines), 70)]
    assert len(lines) >= 40


@pytest.mark.parametrize("answer", [Answer(200), Answer(404), Answer(410)])
def test_what_the_server_has_is_settled_once(answer: Answer) -> None:
    outbox = filled(feedback.success("1"))
    entry = first(outbox)
    settled = outbox.settle(entry, answer)
    assert settled.entries == ()
    assert settled.settle(entry, answer) == settled


@pytest.mark.req("S08")
@pytest.mark.parametrize("status", [None, 302, 401, 403, 405, 408, 409, 425, 429, 451, 500, 502, 503, 504])
def test_a_verdict_survives_any_refusal(status: int | None) -> None:
    assert order(refused(filled(feedback.success("1", "x")), 50, Answer(status, quota=status in (403, 429)))) == [
        "1:closed"
    ]


@pytest.mark.parametrize("status", [400, 415, 422])
def test_a_malformed_message_is_sent_once_more_without_what_is_optional(status: int) -> None:
    outbox = Outbox().add(feedback.proceeding("1", "why", code=5), timestamp_ms=1000)
    entry = first(outbox)
    assert json.loads(entry.body())["timestamp"] == 1000
    outbox = outbox.settle(entry, Answer(status))
    assert json.loads(first(outbox).body()) == {
        "id": 1,
        "status": {"execution": "proceeding", "result": {"finished": "none"}, "details": ["why"]},
    }
    assert outbox.settle(first(outbox), Answer(status)).entries == ()


@pytest.mark.req("S08")
def test_a_verdict_that_is_refused_as_malformed_leaves_a_trace_until_the_next_one_is_heard() -> None:
    outbox = filled(feedback.failure("1", "why"))
    for _ in range(2):
        outbox = outbox.settle(first(outbox), Answer(400))
    assert outbox.entries == ()
    assert outbox.unheard == Refusal(1, "deployment", "1", "failure", 400)
    outbox = outbox.add(feedback.success("2"))
    assert outbox.unheard is not None
    outbox = outbox.settle(first(outbox), OK)
    assert outbox.unheard is None
    assert len(outbox.refused) == 1, "what happened stays on record"


def test_a_clock_that_jumped_leaves_the_time_to_the_server() -> None:
    entry = first(Outbox().add(feedback.success("1"), timestamp_ms=1000))
    assert "timestamp" not in json.loads(entry.body(timestamp=False))


def test_a_used_up_quota_ends_the_intermediate_messages_of_that_action_only() -> None:
    outbox = filled(
        feedback.proceeding("1", "a"), feedback.proceeding("1", "b"), feedback.proceeding("2"), feedback.success("1")
    )
    outbox = outbox.settle(first(outbox), Answer(429, quota=True))
    assert order(outbox) == ["2:proceeding", "1:closed"]
    assert order(outbox.add(feedback.proceeding("1", "c"))) == ["2:proceeding", "1:closed"]


@pytest.mark.req("S08")
def test_a_refused_verdict_holds_up_its_own_action_only() -> None:
    outbox = filled(feedback.failure("1"), feedback.proceeding("1", "late"), feedback.success("2"))
    found = outbox.next({"1"})
    assert found is not None
    assert found.feedback.action_id == "2"
    assert outbox.next({"1", "2"}) is None


@pytest.mark.req("S08")
@pytest.mark.parametrize("answer", [BUSY, BROKEN, Answer(503), Answer(None)])
def test_after_enough_refusals_a_verdict_waits_without_blocking(answer: Answer) -> None:
    outbox = refused(filled(feedback.success("1")), PATIENCE - 1, answer)
    assert outbox.blocked
    outbox = refused(outbox, 1, answer)
    assert not outbox.blocked
    assert outbox.next() is None
    assert outbox.owed == {"1"}
    assert first(outbox).feedback.action_id == "1", "it is still tried"


def test_behind_a_stuck_message_its_action_waits_and_no_other() -> None:
    outbox = filled(feedback.proceeding("1"), feedback.success("1"), feedback.proceeding("2"))
    outbox = refused(outbox, PATIENCE)
    found = outbox.next()
    assert found is not None
    assert found.feedback.action_id == "2"


def test_a_network_that_is_down_refuses_nothing_and_costs_no_write() -> None:
    outbox = filled(feedback.proceeding("1"), feedback.success("1"))
    assert outbox.settle(first(outbox), Answer(None, sent=False)) == outbox


def test_only_an_intermediate_message_is_given_up() -> None:
    outbox = filled(feedback.proceeding("1"), feedback.success("1"))
    outbox = outbox.give_up(outbox.entries[0]).give_up(outbox.entries[1])
    assert order(outbox) == ["1:closed"]


def test_a_server_that_never_takes_a_verdict_is_not_asked_for_more_work_for_ever() -> None:
    outbox = Outbox()
    for number in range(MAX_OWED + 1):
        assert not outbox.blocked
        outbox = outbox.add(feedback.failure(str(number)))
        for _ in range(PATIENCE):
            stuck = outbox.next()
            assert stuck is not None
            outbox = outbox.settle(stuck, BROKEN)
    assert outbox.next() is None
    assert outbox.blocked


def test_messages_are_counted_over_the_life_of_an_action() -> None:
    outbox = Outbox()
    for number in range(3 * MAX_MESSAGES):
        outbox = outbox.add(feedback.proceeding("1", f"{number}"))
        while (entry := outbox.next()) is not None:
            outbox = outbox.settle(entry, OK)
    assert outbox.count("1") == MAX_MESSAGES
    assert outbox.add(feedback.proceeding("1", "one more")).entries == ()
    outbox = outbox.add(feedback.success("1"))
    outbox = outbox.settle(first(outbox), OK)
    assert outbox.count("1") == 0, "a server that uses its numbers again starts a new action"


def test_messages_that_may_have_been_stored_are_counted_too() -> None:
    outbox = filled(feedback.proceeding("1", "a"))
    for _ in range(5):
        outbox = outbox.settle(first(outbox), Answer(None))
    outbox = outbox.settle(first(outbox), OK)
    assert outbox.count("1") == 6

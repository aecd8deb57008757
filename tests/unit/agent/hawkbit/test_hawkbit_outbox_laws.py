"""The laws of the outbox, whatever is said, answered, lost and restarted."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.hawkbit import feedback, outbox_form
from agent.hawkbit.answers import Answer, Meaning, meaning
from agent.hawkbit.outbox import MAX_INTERMEDIATE_TOTAL, Outbox, ends_action

messages = st.builds(
    lambda make, action, text: make(action, text),
    st.sampled_from(
        [feedback.proceeding, feedback.proceeding, feedback.success, feedback.failure, feedback.cancel_accepted,
         feedback.cancel_rejected, feedback.confirmed, feedback.denied]
    ),
    st.sampled_from(["1", "2", "3"]),
    st.text(max_size=20),
)  # fmt: skip
answers = st.builds(
    Answer,
    st.sampled_from([None, 200, 404, 410, 405, 409, 429, 403, 500, 503, 401, 400]),
    quota=st.booleans(),
    sent=st.booleans(),
)
passed = st.sets(st.sampled_from(["1", "2", "3"]))
history = st.lists(st.one_of(messages, answers, passed, st.just("give up"), st.just("restart")), max_size=80)


@pytest.mark.req("S08")
@settings(max_examples=300, deadline=None)
@given(history)
def test_whatever_happens_order_and_verdicts_are_kept(history: list[Any]) -> None:
    outbox = Outbox()
    owed: dict[tuple[str, str], feedback.Feedback] = {}
    away: set[str] = set()
    for event in history:
        entry = outbox.next(away, stuck=True)
        if isinstance(event, feedback.Feedback):
            outbox = outbox.add(event)
            if event.terminal:
                subject = (event.kind, event.action_id)
                was = owed.get(subject)
                newer = was is None or event.kind == "confirmation"
                owed[subject] = (
                    event if newer or (was and was.finished, event.finished) == ("success", "failure") else was
                )  # type: ignore[assignment]  # newer when there was none
        elif isinstance(event, set):
            away = event
        elif event == "restart":
            outbox = outbox_form.from_json(outbox_form.to_json(outbox))
        elif entry is None:
            continue
        elif event == "give up":
            outbox = outbox.give_up(entry)
        else:
            if entry.feedback.terminal and meaning(entry.feedback, event, stripped=entry.stripped) in (
                Meaning.DELIVERED,
                Meaning.MALFORMED,
            ):
                del owed[entry.feedback.kind, entry.feedback.action_id]
            outbox = outbox.settle(entry, event)
        _laws(outbox, owed)


def _laws(outbox: Outbox, owed: dict[tuple[str, str], feedback.Feedback]) -> None:
    waiting = [e.feedback for e in outbox.entries]
    verdicts = [m for m in waiting if m.terminal]
    assert {(m.kind, m.action_id): m for m in verdicts} == owed, "no verdict is lost, changed or invented"
    assert len(verdicts) == len(owed), "one for each"
    for kind, action in owed:
        mine = [m.terminal for m in waiting if (m.kind, m.action_id) == (kind, action)]
        assert mine.index(True) == len(mine) - 1, "the verdict is the last word"
    assert sum(not m.terminal for m in waiting) <= MAX_INTERMEDIATE_TOTAL
    assert len({e.number for e in outbox.entries}) == len(outbox.entries)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(["say", "say", "say", "ok", "ok", "ok", "ok", "lost", "restart", "read", "503", "502", "down"]),
        max_size=400,
    )
)
@example(["say", *["lost", "read"] * 150])
@example(["say", *["lost", "restart", "read"] * 90])
@example(["say", "ok", "read"] * 120)
def test_an_action_never_gets_more_than_a_hundred_entries(history: list[str]) -> None:
    """Against a server that counts as hawkBit does: each message, and RETRIEVED for a document read after another entry."""
    entries: list[str] = []
    outbox = Outbox()
    doubtful: set[int] = set()
    for number, event in enumerate([*history, "end", *["ok"] * 60]):
        if event == "say":
            outbox = outbox.add(feedback.proceeding("1", f"{number}"))
        elif event == "end":
            outbox = outbox.add(feedback.success("1"))
        elif event == "read" and entries[-1:] != ["RETRIEVED"]:
            entries.append("RETRIEVED")
        elif event == "restart":
            outbox = outbox_form.from_json(outbox_form.to_json(outbox))
            doubtful = {e.number for e in outbox.entries}
        entry = outbox.next(stuck=True)
        if entry is None or event not in ("ok", "lost", "502", "503", "down"):
            continue
        if entry.number in doubtful:
            doubtful.discard(entry.number)
            outbox = outbox.repeated(entry)
            entry = outbox.next(stuck=True)
            if entry is None:
                continue
        closed = "closed" in entries
        if (
            event in ("ok", "lost", "502") and not closed
        ):  # the response of a 502 comes from a gateway: the server has it
            entries.append(entry.feedback.execution)
        status = {"ok": 410 if closed else 200, "502": 502, "503": 503}.get(event)
        outbox = outbox.settle(entry, Answer(status, sent=event != "down"))
    assert len(entries) <= 100
    assert entries.count("closed") == 1
    assert outbox.entries == ()


@settings(deadline=None)
@given(st.lists(messages, max_size=30))
def test_saying_everything_twice_changes_no_verdict(said: list[feedback.Feedback]) -> None:
    once = twice = Outbox()
    for message in said:
        if message.kind != "confirmation":
            once = once.add(message)
            twice = twice.add(message).add(message)
    ends = [[e.feedback for e in outbox.entries if e.feedback.terminal] for outbox in (once, twice)]
    assert ends[0] == ends[1]


@settings(deadline=None)
@given(messages)
def test_only_a_last_word_closes_an_action(message: feedback.Feedback) -> None:
    assert ends_action(message) == (message.execution == "closed")

"""The stored outbox: read back whole, taken over from older agents, and salvaged when it is damaged."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import EnvironmentFault
from agent.hawkbit import feedback, outbox_form
from agent.hawkbit.answers import Answer
from agent.hawkbit.outbox import MAX_OWED, Outbox

FULL_LINES = tuple("\\" * 500 for _ in range(40))  # the most that one message can take: each character is escaped


def sample() -> Outbox:
    outbox = Outbox()
    for message in (
        feedback.proceeding("1", "a"), feedback.failure("1", "why", code=7), feedback.denied("2"), feedback.success("3", "s"),
    ):  # fmt: skip
        outbox = outbox.add(message, timestamp_ms=1_700_000_000_000, offset_ms=-5)
    for _ in range(2):
        entry = outbox.next({"1", "2"})
        assert entry is not None
        outbox = outbox.settle(entry, Answer(422))
    entry = outbox.next()
    assert entry is not None
    return outbox.settle(entry, Answer(500))


def stored(outbox: Outbox) -> bytes:
    """As the store writes it."""
    return json.dumps(outbox_form.to_json(outbox), indent=1, sort_keys=True).encode()


def old_form(*messages: feedback.Feedback) -> dict[str, Any]:
    return {
        "schema": 1,
        "entries": [
            {"number": n, "feedback": m.to_json(), "timestamp_ms": 1, "stripped": False, "refusals": 44}
            for n, m in enumerate(messages, 1)
        ],
    }


def test_it_is_read_back_as_it_was() -> None:
    outbox = sample()
    assert outbox.refused
    assert outbox.tallies == ()
    assert outbox_form.from_bytes(stored(outbox)) == outbox


def test_the_old_form_is_taken_over() -> None:
    outbox = outbox_form.from_json(old_form(feedback.proceeding("1", "a"), feedback.failure("1", "why")))
    assert [e.feedback.execution for e in outbox.entries] == ["proceeding", "closed"]
    assert outbox.last == 2
    assert all(e.timestamp_ms is None for e in outbox.entries), "it is not known what the clock did since"
    assert outbox_form.from_bytes(stored(outbox)) == outbox


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"schema":3,"entries":[]}',
        b'{"schema":2,"entries":[]}',
        b'{"schema":1,"entries":[1]}',
        b'{"schema":1,"entries":[{"number":-1}]}',
        b'{"schema":1,"entries":' + b"[" * 50_000,
        b'{"schema":2,"last":0,"heard":0,"tallies":[1],"refused":[],"entries":[]}',
        b'{"schema":2,"last":0,"heard":0,"tallies":[],"refused":[{"number":1}],"entries":[]}',
        json.dumps({"schema": 1, "entries": [{}] * 2001}).encode(),
        b" " * (8 * 1024 * 1024 + 1),
    ],
)
def test_a_damaged_document_is_an_explained_error(data: bytes) -> None:
    with pytest.raises(EnvironmentFault) as caught:
        outbox_form.from_bytes(data)
    assert caught.value.code == "ddi.outbox-unreadable"


def test_an_entry_with_a_number_from_the_future_is_damage() -> None:
    value = outbox_form.to_json(sample())
    value["last"] = 0
    with pytest.raises(EnvironmentFault):
        outbox_form.from_json(value)


@pytest.mark.req("S08")
@settings(deadline=None, max_examples=200)
@given(st.data())
def test_the_verdicts_that_are_whole_are_salvaged_from_any_damage(data: st.DataObject) -> None:
    messages = [
        feedback.proceeding("1", "a"), feedback.failure("1", "x" * 90), feedback.success("2", "y" * 90),
        feedback.denied("3", "z" * 90),
    ]  # fmt: skip
    outbox = Outbox()
    for message in messages:
        outbox = outbox.add(message)
    text = stored(outbox)
    begin = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(begin, len(text)))
    found = outbox_form.salvaged(text[:begin] + bytes([data.draw(st.integers(0, 255))]) * (end - begin) + text[end:])
    said = [entry.feedback for entry in found.entries]
    starts = [match.start() for match in re.finditer(rb'\{\s*"feedback"', text)]
    ends = [*starts[1:], text.index(b'"heard"')]
    whole = [m for m, at, to in zip(messages, starts, ends, strict=True) if m.terminal and (end <= at or to <= begin)]
    assert [m for m in said if m in whole] == whole, "every one that is whole, in order"
    assert len(said) <= len(messages)


def test_a_document_of_a_newer_agent_gives_its_verdicts() -> None:
    value = outbox_form.to_json(sample())
    value["schema"] = 99
    found = outbox_form.salvaged(json.dumps(value, indent=1, sort_keys=True).encode())
    assert [(e.feedback.action_id, e.feedback.execution) for e in found.entries] == [("1", "closed"), ("2", "denied")]


@given(st.binary(max_size=300))
def test_from_noise_nothing_is_salvaged(noise: bytes) -> None:
    assert outbox_form.salvaged(noise) == Outbox()


def test_what_is_stored_is_never_too_large_to_be_read_back() -> None:
    outbox = Outbox()
    for number in range(2 * MAX_OWED):
        outbox = outbox.add(feedback.proceeding(str(number), *FULL_LINES))
        outbox = outbox.add(feedback.failure(str(number), *FULL_LINES, code=1))
        if number % 16 == 15:
            assert len(stored(outbox)) <= 1024 * 1024
    verdicts = [e.feedback for e in outbox.entries if e.feedback.terminal]
    assert len(verdicts) == 2 * MAX_OWED
    assert all(verdict.details for verdict in verdicts), "the reason stays"

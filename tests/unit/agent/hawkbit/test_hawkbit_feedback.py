"""Feedback says what hawkBit will understand."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.hawkbit import feedback
from agent.hawkbit.feedback import Feedback


def test_success_is_closed_and_terminal() -> None:
    sent = feedback.success("8", "booted", code=0)
    assert sent.terminal
    assert sent.path == "deploymentBase/8/feedback"
    assert json.loads(sent.body(1627997501890)) == {
        "id": 8,
        "timestamp": 1627997501890,
        "status": {"execution": "closed", "result": {"finished": "success"}, "code": 0, "details": ["booted"]},
    }


def test_without_a_synchronised_clock_there_is_no_timestamp() -> None:
    assert "timestamp" not in json.loads(feedback.success("8").body())


def test_the_minimal_body_has_no_optional_field_but_the_details() -> None:
    body = json.loads(feedback.failure("8", "why", code=7).body(1, minimal=True))
    assert body == {"id": 8, "status": {"execution": "closed", "result": {"finished": "failure"}, "details": ["why"]}}


def test_an_id_that_is_no_number_is_left_out() -> None:
    assert "id" not in json.loads(feedback.failure("a-name").body())


@pytest.mark.parametrize(
    ("sent", "kind", "execution", "finished", "terminal"),
    [
        (feedback.proceeding("1"), "deployment", "proceeding", "none", False),
        (feedback.failure("1"), "deployment", "closed", "failure", True),
        (feedback.downloaded("1"), "deployment", "downloaded", "success", True),
        (feedback.cancel_accepted("1"), "cancel", "closed", "success", True),
        (feedback.cancel_rejected("1"), "cancel", "rejected", "none", True),
    ],
)
def test_every_message_uses_the_words_that_hawkbit_acts_upon(
    sent: Feedback, kind: str, execution: str, finished: str, terminal: bool
) -> None:
    assert (sent.kind, sent.execution, sent.finished, sent.terminal) == (kind, execution, finished, terminal)


def test_closed_without_a_result_cannot_be_built() -> None:
    with pytest.raises(ValueError, match="counts as success"):
        Feedback("deployment", "1", "closed", "none", None, (), terminal=True)


def test_a_code_over_32_bits_cannot_be_built() -> None:
    with pytest.raises(ValueError, match="32 bits"):
        feedback.failure("1", code=1 << 31)


def test_too_many_lines_are_cut_and_counted() -> None:
    sent = feedback.proceeding("1", *[f"line {n}" for n in range(60)])
    assert len(sent.details) == 40
    assert sent.details[-1] == "(21 more lines)"


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(max_size=700), max_size=50))
def test_details_always_fit_and_are_printable_ascii(lines: list[str]) -> None:
    sent = feedback.proceeding("1", *lines)
    assert len(sent.details) <= 40
    for line in sent.details:
        assert 0 < len(line) <= 500
        assert line.isascii()
        assert line.isprintable()
    assert feedback.from_json(json.loads(json.dumps(sent.to_json()))) == sent


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "other"},
        {"execution": "canceled"},
        {"finished": "maybe"},
        {"action_id": ""},
        {"code": "1"},
        {"code": True},
        {"details": "line"},
        {"details": [1]},
        {"terminal": 1},
        {"finished": "none"},
    ],
)
def test_damaged_stored_feedback_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        feedback.from_json({**feedback.success("1").to_json(), **change})
    with pytest.raises(ValueError):
        feedback.from_json(None)

"""What each answer of the server means for a message, and whether it may have been stored all the same."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.hawkbit import feedback
from agent.hawkbit.answers import Answer, Meaning, answered, meaning, unanswered

ALL = [
    feedback.proceeding("1", "x"), feedback.success("1"), feedback.failure("1"), feedback.cancel_accepted("1"),
    feedback.confirmed("1"),
]  # fmt: skip
QUOTA = json.dumps({"errorCode": "hawkbit.server.error.quota.tooManyEntries", "message": "..."}).encode()


@pytest.mark.parametrize("message", ALL, ids=lambda m: f"{m.kind}-{m.execution}")
@pytest.mark.parametrize("status", [200, 201, 204, 404, 410])
def test_taken_and_closed_already_mean_delivered(message: feedback.Feedback, status: int) -> None:
    assert meaning(message, Answer(status), stripped=False) is Meaning.DELIVERED


def test_only_a_cancellation_that_nobody_wants_any_more_is_delivered_by_405() -> None:
    found = {m.kind: meaning(m, Answer(405), stripped=False) for m in ALL}
    assert found == {"deployment": Meaning.LATER, "cancel": Meaning.DELIVERED, "confirmation": Meaning.LATER}


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_malformed_is_sent_once_more_without_what_is_optional(status: int) -> None:
    assert meaning(ALL[0], Answer(status), stripped=False) is Meaning.STRIP
    assert meaning(ALL[0], Answer(status), stripped=True) is Meaning.MALFORMED


@pytest.mark.parametrize("status", [403, 429])
def test_a_used_up_quota_ends_intermediate_messages_and_never_a_terminal_one(status: int) -> None:
    answer = answered(status, QUOTA)
    assert answer.quota
    assert meaning(feedback.proceeding("1"), answer, stripped=False) is Meaning.EXHAUSTED
    assert meaning(feedback.failure("1"), answer, stripped=False) is Meaning.LATER


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"errorCode":"hawkbit.server.error.x"}', b"[" * 50_000, b"\xff"])
def test_a_429_that_names_no_quota_is_about_load(body: bytes) -> None:
    assert meaning(ALL[0], answered(429, body), stripped=False) is Meaning.UNAVAILABLE


@pytest.mark.parametrize("status", [None, 302, 401, 407, 408, 429, 502, 503, 504, 520])
def test_what_is_not_about_the_message_is_about_the_server(status: int | None) -> None:
    assert meaning(ALL[1], Answer(status), stripped=True) is Meaning.UNAVAILABLE


@pytest.mark.parametrize("status", [402, 403, 406, 409, 425, 451, 500, 501])
def test_another_refusal_is_about_this_message_now(status: int) -> None:
    assert meaning(ALL[1], Answer(status), stripped=True) is Meaning.LATER


@given(st.one_of(st.none(), st.integers(100, 999)), st.booleans(), st.booleans())
def test_a_terminal_message_goes_only_by_the_words_taken_closed_and_malformed(
    status: int | None, quota: bool, stripped: bool
) -> None:
    found = meaning(feedback.success("1"), Answer(status, quota=quota), stripped=stripped)
    if found in (Meaning.DELIVERED, Meaning.MALFORMED):
        assert status in (404, 410, 400, 413, 415, 422) or (status is not None and 200 <= status < 300)
    assert found is not Meaning.EXHAUSTED


@pytest.mark.parametrize(
    ("answer", "perhaps"),
    [
        (unanswered("net.connect"), False),
        (unanswered("net.dns"), False),
        (unanswered("net.tls-name"), False),
        (unanswered("net.proxy"), False),
        (unanswered("net.proxy-login"), False),
        (unanswered("net.client-cert"), False),
        (unanswered("net.client-rejected"), False),
        (unanswered("net.bad-ca"), False),
        (unanswered("config.token-missing"), False),
        (unanswered("net.timeout"), True),
        (unanswered("net.short-body"), True),
        (unanswered("child.died"), True),
        (Answer(500), True),
        (Answer(502), True),
        (Answer(503), False),
        (Answer(429), False),
        (Answer(409), False),
    ],
)
def test_a_message_counts_when_it_may_have_been_stored(answer: Answer, perhaps: bool) -> None:
    assert answer.perhaps_stored is perhaps

"""What the server's answer to a message means for the message.

Two questions are kept apart: whether the message has to be sent again, and whether the server may have stored it although
it did not say so. The second one counts against the quota of the action.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum

from agent.hawkbit.feedback import Feedback

_CLOSED = frozenset({404, 410})  # hawkBit: the action is unknown, not ours any more, or closed already
_NOT_CANCELLING = 405  # hawkBit's answer to cancel feedback for an action that nobody wants to cancel
_MALFORMED = frozenset({400, 413, 415, 422})
_QUOTA = frozenset({403, 429})  # 403 was the quota's status up to hawkBit 0.9
# Nothing about the message: credentials, load, or something between us and the server.
_UNAVAILABLE = frozenset({401, 407, 408, 429})
_FIRST_OF_GATEWAY = 502
# The request was refused before it was carried out (RFC 9110, sections 15.5 and 15.6.4).
_NOT_CARRIED_OUT = 503
# Without a connection nothing can have been sent.
_NEVER_SENT = (
    "net.dns",
    "net.connect",
    "net.proxy",
    "net.tls-",
    "net.client-",
    "net.bad-ca",
    "net.insecure",
    "net.privileges",
    "net.user-",
    "child.not-",
    "config.",
)


class Meaning(Enum):
    """What becomes of a message."""

    DELIVERED = "delivered"
    STRIP = "strip"  # malformed: once more without what is optional
    MALFORMED = "malformed"  # and that did not help
    EXHAUSTED = "exhausted"  # the action has no room for intermediate messages
    LATER = "later"  # this message is not taken now; others may be
    UNAVAILABLE = "unavailable"  # the server takes nothing now


@dataclass(frozen=True, slots=True)
class Answer:
    """How an attempt to send a message ended.

    Args:
        status: the HTTP status; None when there was no answer.
        quota: whether the server said that a quota is used up.
        sent: whether the message may have reached the server.
    """

    status: int | None = None
    quota: bool = False
    sent: bool = True

    @property
    def perhaps_stored(self) -> bool:
        """Whether the server may have stored the message without our knowing."""
        if self.status is None:
            return self.sent
        return self.status >= 500 and self.status != _NOT_CARRIED_OUT


def answered(status: int, body: bytes) -> Answer:
    """Reads an answer; hawkBit names a used-up quota in the error's code (``SpServerError.SP_QUOTA_EXCEEDED``)."""
    if status not in _QUOTA:
        return Answer(status)
    try:
        code = json.loads(body)["errorCode"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return Answer(status)
    return Answer(status, quota=".quota." in str(code))


def unanswered(code: str) -> Answer:
    """What is known after an error instead of an answer; ``code`` is the error's."""
    return Answer(None, sent=not code.startswith(_NEVER_SENT))


def meaning(message: Feedback, answer: Answer, *, stripped: bool) -> Meaning:
    """What an answer means.

    Args:
        message: what was sent.
        answer: how that ended.
        stripped: whether it was sent without its optional fields.
    """
    status = answer.status
    if status is None:
        return Meaning.UNAVAILABLE
    if 200 <= status < 300 or status in _CLOSED or (status == _NOT_CANCELLING and message.kind == "cancel"):
        return Meaning.DELIVERED
    if status in _MALFORMED:
        return Meaning.MALFORMED if stripped else Meaning.STRIP
    if answer.quota:
        return Meaning.LATER if message.terminal else Meaning.EXHAUSTED
    if status in _UNAVAILABLE or status >= _FIRST_OF_GATEWAY or status < 400:
        return Meaning.UNAVAILABLE
    return Meaning.LATER

"""Who may call a method: asked of polkit, and where there is no polkit, root and one group. Any doubt is a refusal.

The user that this process runs as, and root, may do everything (polkit has the same rule for root). Everything is asked by
asynchronous calls: a polkit that waits for a person's password, or hangs, holds nobody else up.
"""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from gi.repository import Gio, GLib

from agent.errors import EnvironmentFault, PolicyError

log = logging.getLogger("agent.dbus")

GROUP = "ota-agent"  # systemd/ota-agent.sysusers makes it
_AT_ONCE = 8  # requests of one user that polkit has yet to decide; root needs no polkit
_BUS = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
_POLKIT = (
    "org.freedesktop.PolicyKit1",
    "/org/freedesktop/PolicyKit1/Authority",
    "org.freedesktop.PolicyKit1.Authority",
)
_NO_POLKIT = ("org.freedesktop.DBus.Error.ServiceUnknown", "org.freedesktop.DBus.Error.NameHasNoOwner")
_INTERACTION = 1  # polkit's AllowUserInteraction
_BUS_PATIENCE = 5000  # milliseconds
_POLKIT_PATIENCE = 10_000
_PERSON_PATIENCE = 120_000  # for a password to be typed
_DENIED_INTERVAL = 60.0  # seconds between two notes of refused callers, who otherwise could flood the journal


_Answered = Callable[[Any, Any], None]  # a GLib.Variant or a GLib.Error


class Caller(NamedTuple):
    """Who calls, as the bus tells it (GetConnectionCredentials); ``groups`` is None when it does not tell them."""

    user: int
    groups: frozenset[int] | None


Decided = Callable[[Caller | Exception], None]  # who may do it, or the refusal


class Question(NamedTuple):
    """Who wants what.

    Attributes:
        sender: the unique bus name of the caller.
        action: what the method's ``org.otaagent.Access`` says.
        method: what is called, for the record.
        interactive: whether a person may be asked for a password.
    """

    sender: str
    action: str
    method: str
    interactive: bool


class Guard(Protocol):
    """Decides who may call what."""

    def ask(self, connection: Any, question: Question, decided: Decided) -> None:  # noqa: ANN401 - Gio has no types
        """Finds out whether a call may be made; to be used in the thread of the main loop.

        Args:
            connection: on which the call came.
            question: who calls what.
            decided: told later, in the same thread.
        """
        ...


class Auditor(Protocol):
    """The part of ``agent.audit.port.Auditor`` that is used here."""

    def note(self, event: str, subject: str = "", /, **data: str | int | bool) -> None:
        """See there."""
        ...


class Access:
    """Asks polkit, or goes by the group where there is none; a ``Guard``.

    Args:
        prefix: what precedes the action in polkit's name of it.
        audit: takes a note of refusals.
    """

    def __init__(self, prefix: str = "org.otaagent.agent1", audit: Auditor | None = None) -> None:
        self._prefix = prefix
        self._audit = audit
        self._asking: Counter[int] = Counter()
        self._denied_at = float("-inf")
        self._denials = 0

    def ask(self, connection: Any, question: Question, decided: Decided) -> None:  # noqa: ANN401 - Gio has no types
        """See Guard."""

        def known(answer: Any, error: Any) -> None:  # noqa: ANN401 - a GLib.Variant, a GLib.Error
            caller = caller_of(answer.unpack()[0]) if error is None else None
            if caller is None:
                self._deny(decided, question, "an unknown user", "the bus does not tell who it is")
            elif caller.user in (0, os.getuid()):
                decided(caller)
            else:
                self._ask_polkit(connection, question, decided, caller)

        arguments = GLib.Variant("(s)", (question.sender,))
        _call(connection, _BUS, "GetConnectionCredentials", arguments, "(a{sv})", _BUS_PATIENCE, known)

    def _ask_polkit(self, connection: Any, question: Question, decided: Decided, caller: Caller) -> None:  # noqa: ANN401
        user = caller.user
        if self._asking[user] >= _AT_ONCE:
            decided(
                EnvironmentFault("access.busy", "too many requests wait for a decision", resolution="wait for those")
            )
            return
        self._asking[user] += 1

        def answered(answer: Any, error: Any) -> None:  # noqa: ANN401 - a GLib.Variant, a GLib.Error
            self._asking[user] -= 1
            if not self._asking[user]:
                del self._asking[user]
            if error is None:
                authorised, challenge, _details = answer.unpack()[0]
                why = "somebody with the right has to agree" if challenge else "polkit does not allow it"
            elif Gio.DBusError.get_remote_error(error) in _NO_POLKIT:
                authorised, why = in_group(caller), f"there is no polkit, and it is not a member of the group {GROUP}"
            else:
                authorised, why = False, f"polkit gave no answer: {error.message}"
            if authorised:
                decided(caller)
            else:
                self._deny(decided, question, f"user {user}", why)

        subject = ("system-bus-name", {"name": GLib.Variant("s", question.sender)})
        flags = _INTERACTION if question.interactive else 0
        arguments = GLib.Variant("((sa{sv})sa{ss}us)", (subject, f"{self._prefix}.{question.action}", {}, flags, ""))
        patience = _PERSON_PATIENCE if question.interactive else _POLKIT_PATIENCE
        _call(connection, _POLKIT, "CheckAuthorization", arguments, "((bba{ss}))", patience, answered)

    def _deny(self, decided: Decided, question: Question, who: str, why: str) -> None:
        self._denials += 1
        if time.monotonic() >= self._denied_at + _DENIED_INTERVAL:
            self._denied_at = time.monotonic()
            count, self._denials = self._denials, 0
            log.warning(
                "%s may not call %s and was refused: %s (%d refusals since this was last told)",
                who, question.method, why, count, extra={"OTA_EVENT": "access-denied"},
            )  # fmt: skip
            if self._audit is not None:
                self._audit.note("access-denied", question.method, caller=who, refusals=count)
        right = f"{self._prefix}.{question.action}"
        refusal = PolicyError(
            "access.denied", "only root and who has the right to it may do this", details=f"{who}: {why}",
            resolution=f"repeat it as root, or get the right {right} (docs/dbus.md, Access)",
        )  # fmt: skip
        decided(refusal)


def caller_of(credentials: Mapping[str, object]) -> Caller | None:
    """Reads what the bus tells of a connection; None when it does not tell the user."""
    user, groups = credentials.get("UnixUserID"), credentials.get("UnixGroupIDs")
    if not isinstance(user, int):
        return None
    return Caller(user, frozenset(groups) if isinstance(groups, list) else None)


def in_group(caller: Caller) -> bool:
    """Whether a caller is a member of the group; where the bus does not tell, the user database is asked."""
    import grp
    import pwd

    try:
        group = grp.getgrnam(GROUP).gr_gid
        if caller.groups is not None:
            return group in caller.groups
        entry = pwd.getpwuid(caller.user)
    except KeyError:  # no such group, or no such user
        return False
    return group in os.getgrouplist(entry.pw_name, entry.pw_gid)


def _call(
    connection: Any,  # noqa: ANN401 - Gio has no types
    to: tuple[str, str, str],
    method: str,
    arguments: Any,  # noqa: ANN401 - a GLib.Variant
    gives: str,
    patience: int,
    answered: _Answered,
) -> None:
    """Calls asynchronously; ``answered`` is told the answer or the error; one of another type than ``gives`` is an error."""

    def done(source: Any, result: Any) -> None:  # noqa: ANN401 - Gio has no types
        try:
            answer = source.call_finish(result)
        except GLib.Error as error:
            answered(None, error)
        else:
            answered(answer, None)

    connection.call(*to, method, arguments, GLib.VariantType.new(gives), Gio.DBusCallFlags.NONE, patience, None, done)

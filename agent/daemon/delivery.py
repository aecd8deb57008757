"""The durable outbox at work: every message is kept before it is sent, and until the server has taken it."""

from __future__ import annotations

import logging
from typing import Protocol

from agent.clock import Clock, moment, offset_ms, same_clock
from agent.daemon.network import Network, Response, document
from agent.daemon.store import Store
from agent.errors import EnvironmentFault, OtaError
from agent.hawkbit import outbox_form
from agent.hawkbit.answers import Answer, Meaning, answered, meaning, unanswered
from agent.hawkbit.feedback import Feedback
from agent.hawkbit.outbox import Entry, Outbox

_log = logging.getLogger(__name__)


class Asks(Protocol):
    """The part of a conversation that is needed here."""

    def request(self, method: str, url: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Response:
        """See ``agent.daemon.network.Conversation``."""
        ...


class Delivery:
    """Brings feedback to the server.

    Args:
        base: the controller's base address.
        network: starts the fetcher.
        store: keeps the outbox.
        clock: for time stamps, when it can be believed.
    """

    def __init__(self, base: str, network: Network, store: Store, clock: Clock) -> None:
        self._base = base
        self._network = network
        self._store = store
        self._clock = clock
        self._outbox = self._load()
        # What an earlier process left behind it may have sent, and died before it could note the answer.
        self._doubtful = {entry.number for entry in self._outbox.entries if not entry.feedback.terminal}

    def say(self, message: Feedback) -> None:
        """Puts a message into the outbox, durably; it is sent with the next poll or ``deliver``."""
        self._keep(self._outbox.add(message, moment(self._clock), offset_ms(self._clock)))

    def has_yet_to_hear(self, action_id: str) -> bool:
        """Whether the success of an action still waits in the outbox."""
        waiting = (entry.feedback for entry in self._outbox.entries)
        return any(
            each.action_id == action_id and each.finished == "success" and each.kind == "deployment" for each in waiting
        )

    @property
    def owed(self) -> frozenset[str]:
        """The actions whose end the server has yet to hear: what it still offers is over here."""
        return self._outbox.owed

    @property
    def problem(self) -> EnvironmentFault | None:
        """What a person must know: the last verdict was refused as malformed, so that the server does not have it."""
        lost = self._outbox.unheard
        if lost is None:
            return None
        return EnvironmentFault(
            "ddi.feedback-refused", "the server refuses the report of how an update ended",
            details=f"action {lost.action_id}, {lost.kind} {lost.finished}: HTTP status {lost.status}, twice",
            resolution="close the action on the server by hand, and report this with the server's version",
            retryable=False,
        )  # fmt: skip

    def deliver(self, talk: Asks | None = None) -> bool:
        """Tries to empty the outbox now; returns whether it is empty. A failure is logged: the next poll tries again.

        Args:
            talk: a conversation to use; without one a fetcher is started when there is something to say.
        """
        if not self._outbox.entries:
            return True
        try:
            if talk is not None:
                self._round(talk, stuck=False)
            else:
                with self._network.conversation() as own:
                    self._round(own, stuck=False)
        except OtaError as error:
            _log.warning("the server cannot be told yet: %s", error, extra={"OTA_ERROR_CODE": error.code})
        return not self._outbox.entries

    def flush(self, talk: Asks) -> None:
        """Sends everything before a poll, first things first; what the server does not take holds up its own action only.

        If it has refused something too often to be waited for, everything is left to ``insist``.

        Raises:
            OtaError: the server cannot be reached or takes nothing now, or something must arrive before it is asked for
                work (``ddi.feedback-deferred``).
        """
        if not self._outbox.stuck:
            self._round(talk, stuck=False)
            self._stop_if(self._outbox.blocked)

    def insist(self, talk: Asks) -> None:
        """Sends what still waits, in order, when the server has just answered a poll: so it is not the server as a whole.

        An intermediate message that it does not take even now is given up: it must not keep the terminal one back.

        Raises:
            OtaError: as ``flush``; also when so many ends are unheard after it that the answer may give no work.
        """
        self._round(talk, stuck=True)
        self._stop_if(self._outbox.blocked)

    def _stop_if(self, blocked: bool) -> None:
        if blocked:
            raise EnvironmentFault(
                "ddi.feedback-deferred", "the server does not take a report now",
                details=f"{len(self._outbox.entries)} wait", resolution="it is sent again; look at the server's log",
            )  # fmt: skip

    def _round(self, talk: Asks, *, stuck: bool) -> None:
        passed: set[str] = set()
        while (entry := self._outbox.next(passed, stuck=stuck)) is not None:
            if entry.number in self._doubtful:
                self._doubtful.discard(entry.number)
                self._keep(self._outbox.repeated(entry))
                continue
            answer, response = self._send(talk, entry)
            what = meaning(entry.feedback, answer, stripped=entry.stripped)
            self._keep(self._outbox.settle(entry, answer))
            _note(entry, what, answer)
            if what is Meaning.UNAVAILABLE and not entry.stuck:
                document(response)  # says which refusal it was
            if what in (Meaning.LATER, Meaning.UNAVAILABLE):
                if entry.stuck and not entry.feedback.terminal:
                    _log.warning("a message of action %s is given up", entry.feedback.action_id)
                    self._keep(self._outbox.give_up(entry))
                else:
                    passed.add(entry.feedback.action_id)

    def _send(self, talk: Asks, entry: Entry) -> tuple[Answer, Response]:
        body = entry.body(timestamp=same_clock(entry.offset_ms, offset_ms(self._clock)))
        try:
            response = talk.request(
                "POST", f"{self._base}/{entry.feedback.path}", body, {"Content-Type": "application/json"}
            )
        except OtaError as error:
            self._keep(self._outbox.settle(entry, unanswered(error.code)))
            raise
        return answered(response.status, response.body), response

    def _keep(self, outbox: Outbox) -> None:
        if outbox != self._outbox:
            self._store.save("outbox", outbox_form.to_json(outbox))
            self._outbox = outbox

    def _load(self) -> Outbox:
        try:
            data = self._store.read("outbox")
        except EnvironmentFault as error:
            _log.error("%s", error, extra={"OTA_ERROR_CODE": error.code})
            self._store.quarantine("outbox")
            return Outbox()
        if data is None:
            return Outbox()
        try:
            return outbox_form.from_bytes(data)
        except EnvironmentFault as error:
            saved = outbox_form.salvaged(data)
            error.details += f"; {len(saved.entries)} reports of how an update ended could be read"
            _log.error("%s", error, extra={"OTA_ERROR_CODE": error.code})
        try:
            self._store.put_aside("outbox", data)
            self._store.save("outbox", outbox_form.to_json(saved))
        except EnvironmentFault as error:  # the damaged one stays until there is room
            _log.error("%s", error, extra={"OTA_ERROR_CODE": error.code})
        return saved


def _note(entry: Entry, what: Meaning, answer: Answer) -> None:
    said = entry.feedback
    if what is Meaning.MALFORMED:
        _log.error(
            "the server refuses %s of action %s as malformed: %s %s, HTTP status %s",
            "how it ended" if said.terminal else "a message", said.action_id, said.execution, said.finished, answer.status,
            extra={"OTA_ERROR_CODE": "ddi.feedback-refused", "OTA_ACTION_ID": said.action_id},
        )  # fmt: skip
    elif what is Meaning.EXHAUSTED:
        _log.warning("the server takes no more messages of action %s but the last", said.action_id)

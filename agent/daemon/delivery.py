"""The durable outbox at work: every message is kept before it is sent, and until the server has taken it."""

from __future__ import annotations

import json
import logging

from agent.clock import Clock
from agent.daemon.network import Conversation, Network, document
from agent.daemon.store import Store
from agent.errors import EnvironmentFault, OtaError
from agent.hawkbit.feedback import Feedback
from agent.hawkbit.outbox import Outbox, verdict

_log = logging.getLogger(__name__)


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

    def say(self, message: Feedback) -> None:
        """Puts a message into the outbox, durably; it is sent with the next poll or ``deliver``."""
        stamp = int(self._clock.wall() * 1000) if self._clock.synchronised() else None
        self._keep(self._outbox.add(message, stamp))

    def has_yet_to_hear(self, action_id: str) -> bool:
        """Whether the success of an action still waits in the outbox."""
        waiting = (entry.feedback for entry in self._outbox.entries)
        return any(
            each.action_id == action_id and each.finished == "success" and each.kind == "deployment" for each in waiting
        )

    def deliver(self, talk: Conversation | None = None) -> bool:
        """Tries to empty the outbox now; returns whether it is empty. A failure is logged: the next poll tries again.

        Args:
            talk: a conversation to use; without one a fetcher is started when there is something to say.
        """
        if self._outbox.next() is None:
            return True
        try:
            if talk is not None:
                self.flush(talk)
            else:
                with self._network.conversation() as own:
                    self.flush(own)
        except OtaError as error:
            _log.warning("the server cannot be told yet: %s", error, extra={"OTA_ERROR_CODE": error.code})
        return self._outbox.next() is None

    def flush(self, talk: Conversation) -> None:
        """Sends everything, first things first.

        Raises:
            OtaError: the server cannot be reached, or wants to hear it later.
        """
        while (entry := self._outbox.next()) is not None:
            answer = talk.request(
                "POST", f"{self._base}/{entry.feedback.path}", entry.body(), {"Content-Type": "application/json"}
            )
            self._keep(self._outbox.settle(entry, answer.status))
            if verdict(entry, answer.status) == "kept":
                document(answer)  # says which refusal it was

    def _keep(self, outbox: Outbox) -> None:
        if outbox != self._outbox:
            self._store.save("outbox", json.loads(outbox.to_json()))
            self._outbox = outbox

    def _load(self) -> Outbox:
        try:
            stored = self._store.load("outbox")
            return Outbox() if stored is None else Outbox.from_json(json.dumps(stored).encode())
        except EnvironmentFault as error:
            self._store.quarantine("outbox")
            _log.error("%s", error, extra={"OTA_ERROR_CODE": error.code})
            return Outbox()

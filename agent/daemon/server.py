"""The update server, seen from the daemon: ask it, answer it, and never lose what it has yet to hear.

Every message goes through the durable outbox first. A poll only counts when everything said before has arrived, because
until then the server's picture of this device is old.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from random import random

from agent.clock import Clock
from agent.config import ServerSettings
from agent.daemon.network import Conversation, Network, Response, document
from agent.daemon.store import Store
from agent.errors import EnvironmentFault, OtaError
from agent.hawkbit import config_data, feedback, links, schedule
from agent.hawkbit.model import Base, Deployment, parse_base, parse_deployment
from agent.hawkbit.outbox import Outbox, verdict

_log = logging.getLogger(__name__)
_CANCEL_WATCH = 15.0  # seconds: how often at least a running update looks whether it was cancelled


class Server:
    """One configured server.

    Args:
        settings: where and as whom.
        network: starts the fetcher.
        store: keeps the outbox and the attributes that the server has.
        clock: for the plan of polls, and for time stamps when it can be believed.
        attributes: what the device tells about itself, in order of importance; asked before each report.
    """

    def __init__(
        self,
        settings: ServerSettings,
        network: Network,
        store: Store,
        clock: Clock,
        attributes: Callable[[], Mapping[str, str | None]],
    ) -> None:
        self._base = links.controller_base(settings.url, settings.tenant, settings.controller_id)
        self._network = network
        self._store = store
        self._clock = clock
        self._attributes = attributes
        self._limits = schedule.Limits(
            settings.poll_min, settings.poll_max, min(max(300.0, settings.poll_min), settings.poll_max)
        )
        self._sleep: int | None = None
        self._failures = 0
        self._outbox = self._load_outbox()
        self.next_poll = clock.boottime() + random() * settings.poll_first_delay  # noqa: S311 - spreads load, no secret

    @property
    def watch_interval(self) -> float:
        """Seconds between two looks for a cancellation while an update is under way."""
        return self._limits.clamp(min(_CANCEL_WATCH, self._sleep or _CANCEL_WATCH))

    @property
    def poll_interval(self) -> float:
        """Seconds between two polls as the server wants them, within the configured bounds."""
        return self._limits.clamp(self._sleep or self._limits.default)

    def poll(self) -> Base:
        """Delivers what is in the outbox, asks what is new, reports attributes when they are wanted or have changed.

        Raises:
            OtaError: what stopped it; ``next_poll`` is then later than it would be after a success.
        """
        asked_to_wait: float | None = None
        try:
            with self._network.conversation() as talk:
                self._flush(talk)
                answer = talk.request("GET", self._base, headers={"Accept": "application/hal+json"})
                asked_to_wait = schedule.retry_after(
                    answer.headers.get("retry-after", ""), answer.headers.get("date", "")
                )
                base = parse_base(document(answer))
                self._report_attributes(talk, wanted=base.config_data)
        except OtaError:
            self._failures += 1
            delay = schedule.after_failure(self._limits, self._failures, random(), asked_to_wait)  # noqa: S311
            self.next_poll = self._clock.boottime() + delay
            raise
        self._failures = 0
        self._sleep = base.sleep_seconds
        self.next_poll = self._clock.boottime() + schedule.next_poll(self._limits, base.sleep_seconds, random())  # noqa: S311
        return base

    def contact(self) -> None:
        """Reaches the server once, for the health check; raises OtaError when that fails."""
        with self._network.conversation() as talk:
            document(talk.request("GET", self._base))

    def deployment(self, href: str) -> Deployment:
        """Reads a deployment document that a poll linked to; OtaError when that fails."""
        with self._network.conversation() as talk:
            return parse_deployment(document(talk.request("GET", self.absolute(href))))

    def absolute(self, href: str) -> str:
        """Resolves a link of the server."""
        return links.resolve(self._base, href)

    def transfer(self) -> Network:
        """Where a download is started."""
        return self._network

    def say(self, message: feedback.Feedback) -> None:
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
                self._flush(talk)
            else:
                with self._network.conversation() as own:
                    self._flush(own)
        except OtaError as error:
            _log.warning("the server cannot be told yet: %s", error, extra={"OTA_ERROR_CODE": error.code})
        return self._outbox.next() is None

    def _flush(self, talk: Conversation) -> None:
        while (entry := self._outbox.next()) is not None:
            answer = self._post(talk, entry.feedback.path, entry.body())
            after = self._outbox.settle(entry, answer.status)
            self._keep(after)
            if verdict(entry, answer.status) == "kept":
                document(answer)  # says which refusal it was

    def _post(self, talk: Conversation, path: str, body: bytes) -> Response:
        return talk.request("POST", f"{self._base}/{path}", body, {"Content-Type": "application/json"})

    def _report_attributes(self, talk: Conversation, *, wanted: object) -> None:
        attributes = config_data.sanitise(self._attributes())
        known = (self._store.load("attributes") or {}).get("values")
        if wanted is None and known == dict(attributes.values):
            return
        if attributes.altered:
            _log.warning("attributes changed to fit the server's rules: %s", ", ".join(attributes.altered))
        answer = talk.request(
            "PUT", f"{self._base}/configData", config_data.body(attributes), {"Content-Type": "application/json"}
        )
        document(answer)
        if known != dict(attributes.values):
            self._store.save("attributes", {"values": dict(attributes.values)})

    def _keep(self, outbox: Outbox) -> None:
        if outbox != self._outbox:
            self._store.save("outbox", json.loads(outbox.to_json()))
            self._outbox = outbox

    def _load_outbox(self) -> Outbox:
        try:
            stored = self._store.load("outbox")
            return Outbox() if stored is None else Outbox.from_json(json.dumps(stored).encode())
        except EnvironmentFault as error:
            self._store.quarantine("outbox")
            _log.error("%s", error, extra={"OTA_ERROR_CODE": error.code})
            return Outbox()

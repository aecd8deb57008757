"""The update server, seen from the daemon: ask it, answer it, and never lose what it has yet to hear.

Every message goes through the durable outbox first. A poll only counts when everything said before has arrived, because
until then the server's picture of this device is old.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from agent.clock import Clock
from agent.config import ServerSettings
from agent.daemon.delivery import Delivery
from agent.daemon.network import Conversation, Network, document
from agent.daemon.poll_plan import PollPlan
from agent.daemon.store import Store
from agent.errors import OtaError
from agent.hawkbit import config_data, links, schedule
from agent.hawkbit.feedback import Feedback
from agent.hawkbit.model import Base, Deployment, parse_base, parse_deployment

_log = logging.getLogger(__name__)


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
        self._attributes = attributes
        self._delivery = Delivery(self._base, network, store, clock)
        self.plan = PollPlan(settings, clock)

    def poll(self) -> Base:
        """Delivers what is in the outbox, asks what is new, reports attributes when they are wanted or have changed.

        Raises:
            OtaError: what stopped it; the next poll is then planned later than it would be after a success.
        """
        asked_to_wait: float | None = None
        try:
            with self._network.conversation() as talk:
                self._delivery.flush(talk)
                answer = talk.request("GET", self._base, headers={"Accept": "application/hal+json"})
                asked_to_wait = schedule.retry_after(
                    answer.headers.get("retry-after", ""), answer.headers.get("date", "")
                )
                base = parse_base(document(answer))
                self._report_attributes(talk, wanted=base.config_data)
        except OtaError:
            self.plan.failed(asked_to_wait)
            raise
        self.plan.worked(base.sleep_seconds)
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

    def say(self, message: Feedback) -> None:
        """See ``Delivery.say``."""
        self._delivery.say(message)

    def has_yet_to_hear(self, action_id: str) -> bool:
        """See ``Delivery.has_yet_to_hear``."""
        return self._delivery.has_yet_to_hear(action_id)

    def deliver(self, talk: Conversation | None = None) -> bool:
        """See ``Delivery.deliver``."""
        return self._delivery.deliver(talk)

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

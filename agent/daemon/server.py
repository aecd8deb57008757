"""The update server, seen from the daemon: ask it, answer it, and never lose what it has yet to hear.

Every message goes through the durable outbox first. A poll only counts when everything said before has arrived, because
until then the server's picture of this device is old.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from agent.clock import Clock
from agent.config import ServerSettings
from agent.daemon.attributes import Attributes
from agent.daemon.auto_confirm import AutoConfirm
from agent.daemon.delivery import Delivery
from agent.daemon.installed_base import Belief, LocalInstalls
from agent.daemon.network import Conversation, Network, Response, document
from agent.daemon.poll_plan import PollPlan
from agent.daemon.spending import Spending
from agent.daemon.store import Store
from agent.errors import OtaError
from agent.hawkbit import links
from agent.hawkbit.feedback import Feedback
from agent.hawkbit.model import Base, Deployment, Link, parse_base, parse_deployment

_MAX_ETAG = 256  # characters; hawkBit's have 35
_HISTORY = 20  # of our own messages that a deployment brings along: enough to find the last one that matters


class Server:
    """One configured server.

    Args:
        settings: where and as whom.
        network: starts the fetcher.
        store: keeps the outbox and the attributes that the server has.
        clock: for the plan of polls, and for time stamps when it can be believed.
        attributes: what the device tells about itself, in order of importance; asked before each report.
        confirmed: the id of the action whose system runs and was confirmed; empty when it is not known.

    Attributes:
        plan: when to ask next.
        heard: what the server said last, to a poll or to a health check; None when that could not be understood.
    """

    def __init__(
        self,
        settings: ServerSettings,
        network: Network,
        store: Store,
        clock: Clock,
        attributes: Callable[[], Mapping[str, str | None]],
        confirmed: Callable[[], str] = lambda: "",
    ) -> None:
        self._base = links.controller_base(settings.url, settings.tenant, settings.controller_id)
        self._network = network
        self._attributes = Attributes(f"{self._base}/configData", store, attributes)
        self._belief = Belief(lambda: attributes().get("version") or "", confirmed)
        self._local = LocalInstalls(f"{self._base}/installedBase", store)
        self._auto_confirm = AutoConfirm(
            f"{self._base}/confirmationBase", store, wanted=settings.confirmation == "auto"
        )
        self._delivery = Delivery(self._base, network, store, clock)
        self._known: tuple[str, Base] | None = None  # the last answer and its ETag
        self._rebase = settings.url if settings.rebase_links else ""
        self.spending = Spending(settings, store, clock)
        self.plan = PollPlan(settings, clock)
        self.heard: Base | None = None

    def poll(self, *, keep: bool = False) -> Base:
        """Delivers what is in the outbox, asks what is new, reports attributes when they are wanted or have changed.

        Args:
            keep: the conversation goes on at once, see ``Network``.

        Raises:
            OtaError: what stopped it; the next poll is then planned later than it would be after a success.
        """
        try:
            with self._network.conversation(keep=keep) as talk:
                self._delivery.flush(talk)
                owed = self._delivery.owed
                headers = {"Accept": "application/hal+json"}
                if self._known is not None:
                    headers["If-None-Match"] = self._known[0]
                answer = talk.request("GET", self._base, headers=headers)
                base = self._understood(answer)
                self._delivery.insist(talk)
                self._local.tell(talk)
                self._belief.look(talk, base.installed, self.absolute)
                wanted = self.absolute(base.config_data.href) if base.config_data is not None else ""
                self._attributes.report(talk, wanted, self._belief.attributes())
                confirms = self._auto_confirm.settle(talk, self.absolute)
        except OtaError as error:
            self.plan.failed(error)
            raise
        self.plan.worked(base.sleep_seconds)
        if confirms and base.confirmation is not None:  # with that it was confirmed, and the deployment is offered now
            base = replace(base, confirmation=None)
            self.plan.at_once()
        base = without(base, owed)
        self.heard = base
        return base

    def contact(self) -> None:
        """Reaches the server once, for the health check; raises OtaError when that fails."""
        with self._network.conversation() as talk:
            body = document(talk.request("GET", self._base))
        try:
            self.heard = parse_base(body)
        except OtaError:  # it answers, which is what was to be known
            self.heard = None

    def deployment(self, href: str, *, keep: bool = False) -> Deployment:
        """Reads a deployment or confirmation document that a poll linked to, with the newest of what we said about it.

        Args:
            href: the link.
            keep: the conversation goes on at once, see ``Network``.

        Raises:
            OtaError: it cannot be read; ``net.not-found`` when there is none any more.
        """
        with self._network.conversation(keep=keep) as talk:
            return parse_deployment(document(talk.request("GET", links.with_history(self.absolute(href), _HISTORY))))

    def absolute(self, href: str) -> str:
        """Resolves a link of the server; ``server.rebase-links`` leads all of them back to the configured origin."""
        address = links.resolve(self._base, href)
        return links.rebase(address, self._rebase) if self._rebase else address

    def transfer(self) -> Network:
        """Where a download is started."""
        return self._network

    def dismiss(self) -> None:
        """Ends the conversation that was kept, see ``Network``."""
        self._network.dismiss()

    def say(self, message: Feedback) -> None:
        """See ``Delivery.say``."""
        self._delivery.say(message)

    def has_yet_to_hear(self, action_id: str) -> bool:
        """See ``Delivery.has_yet_to_hear``."""
        return self._delivery.has_yet_to_hear(action_id)

    def deliver(self, talk: Conversation | None = None) -> bool:
        """See ``Delivery.deliver``."""
        return self._delivery.deliver(talk)

    @property
    def problem(self) -> OtaError | None:
        """See ``Delivery.problem``."""
        return self._delivery.problem

    def installed(self, name: str, version: str) -> None:
        """Tells, durably and with a later poll, that a distribution set was installed without the server.

        Args:
            name: of the distribution set; empty when there is nothing to tell, and what is still kept is wrong by now.
            version: of the distribution set.
        """
        if name:
            self._local.note(name, version)
        else:
            self._local.forget()

    def _understood(self, answer: Response) -> Base:
        """What a poll was answered; 304 means that nothing has changed (RFC 9110, section 15.4.5)."""
        if answer.status == 304 and self._known is not None:
            return self._known[1]
        self._known = None
        base = parse_base(document(answer))
        tag = answer.headers.get("etag", "")
        if tag and len(tag) <= _MAX_ETAG and tag.isascii() and tag.isprintable():
            self._known = (tag, base)
        return base


def without(base: Base, over: Collection[str]) -> Base:
    """The answer to a poll without the actions that are over here: the server would not offer them if it had heard."""

    def open_here(link: Link | None) -> Link | None:
        return None if link is not None and link.action_id in over else link

    return replace(
        base,
        deployment=open_here(base.deployment),
        cancel=open_here(base.cancel),
        confirmation=open_here(base.confirmation),
    )

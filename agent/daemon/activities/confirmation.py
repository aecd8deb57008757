"""The server wants an assignment to be confirmed before it offers it (hawkBit's confirmation flow).

While it waits nothing is under way: the device goes on polling, can be updated from a file, and needs no record. What
was answered is remembered, because hawkBit offers a denied action again with every poll, by design. An answer belongs to
an action with a certain bundle: some servers use the numbers of actions again.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from agent.daemon.activities import telling
from agent.daemon.activities.offer import chosen, identity_of
from agent.daemon.context import Context
from agent.daemon.inbox import Consent
from agent.errors import OtaError
from agent.hawkbit import feedback
from agent.hawkbit.model import Link
from agent.hawkbit.phases import Phase

_log = logging.getLogger(__name__)
Answer = Literal["confirmed", "denied"]


@dataclass(frozen=True, slots=True)
class _Question:
    """An action that waits to be confirmed; ``refusal`` is why this device could not install it anyway."""

    action_id: str
    identity: str
    artifact: str
    facts: dict[str, str]
    refusal: OtaError | None


class Confirmations:
    """Answers the server, by the rules of the configuration or of whoever is asked.

    Args:
        context: the collaborators.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._href = ""
        self._question: _Question | None = None
        self._consent = ""

    def show(self) -> None:
        """Shows once more what waits to be confirmed: something else was shown meanwhile."""
        if self._question is not None:
            self._shown(self._question, self._consent)

    def offered(self, link: Link | None) -> None:
        """Looks at what a poll links to; None when nothing waits to be confirmed."""
        if link is None:
            if self._question is not None:
                telling.offer(self._context, {})
            self._href, self._question = "", None
            return
        if link.href != self._href:
            question = self._read(link)
            if question is None:
                return
            self._href, self._question = link.href, question
        if self._question is not None:
            self._decide(self._question)

    def said(self, consent: Consent) -> None:
        """Takes somebody's word for the action that waits; for another one it is void."""
        question = self._question
        if question is None or consent.action_id != question.action_id:
            _log.warning("action %s does not wait for consent any more", consent.action_id)
            return
        if self._consent == ("confirmed" if consent.approved else "denied"):
            return  # it was said, and the server has it or gets it
        identity = identity_of(question.action_id, question.artifact)
        self._context.desk.answer_before(identity, approved=consent.approved)
        if consent.approved:
            self._answer(question, "confirmed", "approved on the device", Phase.CONFIRMED)
        else:
            self._answer(
                question, "denied", f"denied on the device: {consent.reason or 'no reason given'}", Phase.DENIED
            )

    def _decide(self, question: _Question) -> None:
        given = self._context.knowledge.answer_to(question.identity)
        rule = self._context.config.server.confirmation
        if given and not (given == "confirmed" and rule == "ask"):  # the server has taken it, and asks once more
            self._shown(question, given)
        elif question.refusal is not None:
            from agent.codes import number  # a large table that an idle device does without

            error = question.refusal
            self._answer(question, "denied", f"[{error.code}] {error.brief}: {error.details}", number(error.code))
        elif rule in ("confirm", "auto"):  # with auto a server asks that does not confirm by itself, or not yet
            self._answer(question, "confirmed", "confirmed by the device's configuration", Phase.CONFIRMED)
        elif rule == "deny":
            self._answer(question, "denied", "denied by the device's configuration", Phase.DENIED)
        else:
            self._shown(question, "wanted")

    def _shown(self, question: _Question, consent: str) -> None:
        self._consent = consent
        telling.offer(self._context, question.facts, consent)

    def _answer(self, question: _Question, answer: Answer, text: str, code: int) -> None:
        context, server = self._context, self._context.server
        if server is None:
            return
        message = feedback.confirmed if answer == "confirmed" else feedback.denied
        server.say(message(question.action_id, text, code=code))
        context.knowledge.remember_answer(question.identity, answer)
        self._shown(question, answer)
        _log.info("action %s: %s", question.action_id, text, extra={"OTA_ACTION_ID": question.action_id})
        if server.deliver() and answer == "confirmed":
            server.plan.at_once()  # the deployment is offered now

    def _read(self, link: Link) -> _Question | None:
        context, server = self._context, self._context.server
        if server is None:
            return None
        try:
            deployment = server.deployment(link.href)
        except OtaError as error:
            _log.warning("what is to be confirmed cannot be read: %s", error, extra={"OTA_ERROR_CODE": error.code})
            return None
        where = urlsplit(link.href).path
        try:
            chunk, artifact = chosen(context, deployment)
        except OtaError as error:
            return _Question(link.action_id, f"{where} -", "", {"action": link.action_id}, error)
        facts = telling.facts(deployment, chunk, artifact)
        return _Question(link.action_id, f"{where} {artifact.identity}", artifact.identity, facts, None)

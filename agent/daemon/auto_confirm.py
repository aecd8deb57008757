"""Lets the server confirm every assignment by itself, or no longer, as the configuration says; once, not with every poll.

It is less important than anything else that is said to the server: whatever goes wrong with it is logged and done later.
Until then each assignment is confirmed on its own. Nobody is overruled: what was switched off on the server stays off, and
what somebody else has switched on stays on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from agent.daemon.network import Conversation, Response
from agent.daemon.store import Store
from agent.errors import OtaError
from agent.hawkbit.auto_confirm import BODY, INITIATOR, parse_auto_confirmation

_log = logging.getLogger(__name__)
_DOCUMENT = "auto_confirm"
_LATER = (401, 403, 408, 409, 425, 429)  # of 4xx: the request may be right, only not now; 409: look at it again


class AutoConfirm:
    """Switches hawkBit's auto-confirmation of this device.

    Args:
        address: of ``confirmationBase``.
        store: remembers, as the document ``auto_confirm``, that the server was told, before it is told.
        wanted: whether it is to be on.
    """

    def __init__(self, address: str, store: Store, *, wanted: bool) -> None:
        self._address = address
        self._store = store
        self._wanted = wanted
        self._settled = False

    def settle(self, talk: Conversation, absolute: Callable[[str], str]) -> bool:
        """Does what is left to do.

        Args:
            talk: the conversation to use.
            absolute: resolves a link of the server.

        Returns:
            Whether it was switched on just now, and what waited is thereby confirmed.
        """
        if self._settled:
            return False
        try:
            return self._settle(talk, absolute)
        except OtaError as error:
            self._settled = error.code == "ddi.invalid-document"  # the same again would make no more sense
            _log.warning("auto-confirmation was not looked at: %s", error, extra={"OTA_ERROR_CODE": error.code})
            return False

    def _settle(self, talk: Conversation, absolute: Callable[[str], str]) -> bool:
        kept = self._store.load(_DOCUMENT) or {}
        known = kept.get("state") if kept.get("at") == self._address else None
        if known == ("on" if self._wanted else None):
            self._settled = True
            return False
        answer = talk.request("GET", self._address, headers={"Accept": "application/hal+json"})
        if not self._taken(answer):
            return False
        state = parse_auto_confirmation(answer.body)
        ours = state.active and state.initiator == INITIATOR
        if (state.active and self._wanted) or not (ours or self._wanted):
            self._end()
            return False
        link = state.activate if self._wanted else state.deactivate
        if not link:
            self._settled = True
            _log.warning("the server offers no link to switch auto-confirmation")
            return False
        if self._wanted and known is None:
            self._store.save(_DOCUMENT, {"at": self._address, "state": "asked"})
        kind = {"Content-Type": "application/json"} if self._wanted else {}
        if not self._taken(talk.request("POST", absolute(link), BODY if self._wanted else b"", kind)):
            return False
        _log.info("the server %s by itself", "confirms from now on" if self._wanted else "no longer confirms")
        self._end()
        return self._wanted

    def _end(self) -> None:
        self._settled = True
        self._store.save(_DOCUMENT, {"at": self._address, "state": "on"} if self._wanted else {})

    def _taken(self, answer: Response) -> bool:
        if 200 <= answer.status < 300:
            return True
        self._settled = 400 <= answer.status < 500 and answer.status not in _LATER
        _log.warning("the server does not switch auto-confirmation: HTTP status %d", answer.status)
        return False

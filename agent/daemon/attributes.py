"""What the server knows about this device (``configData``), kept up to date: on request, and when something has changed.

It is less important than anything else that is said to the server: whatever goes wrong with it is logged, and neither a
poll nor feedback waits for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import agent
from agent.daemon.knowledge import Ending
from agent.daemon.network import Conversation
from agent.daemon.store import Store
from agent.errors import OtaError
from agent.hawkbit import config_data

_log = logging.getLogger(__name__)
_DOCUMENT = "attributes"
_LATER = (401, 403, 408, 409, 425, 429)  # of 4xx: the request may be right, only not now


def own_attributes(
    *, version: str, slot: str, compatible: str, manifest_hash: str, ending: Ending, configured: Mapping[str, str]
) -> Mapping[str, str | None]:
    """What a device tells about itself, in order of importance. Pure.

    The version has two names: ``sw_version`` is SWUpdate's, and goosebit offers an update for as long as its value is not
    the update's version. A text in the configuration would stay the old one, and the update would be offered for ever.

    Args:
        version: of the running system.
        slot: boot name of the running slot.
        compatible: which bundles are for this device.
        manifest_hash: identity of the bundle that runs; empty when it is not known.
        ending: how the last update ended.
        configured: ``[server.attributes]``; replaces others of the same name.
    """
    return {
        "version": version,
        "sw_version": version,
        "slot": slot,
        "compatible": compatible,
        "manifest_hash": manifest_hash,
        "agent_version": agent.__version__,
        **({"last_result": f"{ending.outcome} {ending.version} {ending.code}"} if ending.outcome else {}),
        **configured,
    }


class Attributes:
    """Reports attributes, in mode ``merge``: what others wrote stays.

    Args:
        address: of ``configData``, for a report that the server has not asked for.
        store: remembers, as the document ``attributes``, what the server was told.
        own: what the device tells about itself, in order of importance; asked before each report.
    """

    def __init__(self, address: str, store: Store, own: Callable[[], Mapping[str, str | None]]) -> None:
        self._address = address
        self._store = store
        self._own = own
        self._refused: Mapping[str, str | None] = {}

    def report(self, talk: Conversation, asked_at: str = "", also: Mapping[str, str | None] | None = None) -> None:
        """Sends the attributes when the server has asked for them, or when they are others than those it has.

        Args:
            talk: the conversation to use.
            asked_at: the absolute address of the server's wish; empty when it has none.
            also: further attributes.
        """
        try:
            self._report(talk, asked_at, also or {})
        except OtaError as error:
            _log.warning("attributes were not reported: %s", error, extra={"OTA_ERROR_CODE": error.code})

    def _report(self, talk: Conversation, asked_at: str, also: Mapping[str, str | None]) -> None:
        known = (self._store.load(_DOCUMENT) or {}).get("values")
        known = known if isinstance(known, dict) else {}
        own = config_data.sanitise({**self._own(), **also})
        gone = dict.fromkeys(set(known) - set(own.values))
        wanted = config_data.sanitise({**own.values, **gone})
        if not asked_at and not gone and known == dict(own.values):
            return
        if self._refused == wanted.values:
            return
        if own.altered:
            _log.warning("attributes changed to fit the server's rules: %s", ", ".join(own.altered))
        answer = talk.request(
            "PUT", asked_at or self._address, config_data.body(wanted), {"Content-Type": "application/json"}
        )
        if 200 <= answer.status < 300:
            self._refused = {}
            if known != dict(own.values):
                self._store.save(_DOCUMENT, {"values": dict(own.values)})
            return
        if 400 <= answer.status < 500 and answer.status not in _LATER:
            self._refused = wanted.values  # the same again would be refused again
        _log.warning("the server refused the attributes: HTTP status %d", answer.status)

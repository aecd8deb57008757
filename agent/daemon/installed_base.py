"""Which system the server believes this device runs, and how it learns of one that did not come from it.

The belief is what ``installedBase`` links to: the last action that the server counts as finished. It is wrong after a
device has fallen back, was flashed anew or was updated from a file; the truth goes there as an attribute, always, and
as ``PUT installedBase`` (experimental in hawkBit, since 0.6) where the device is set up to send it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from agent.daemon.network import Conversation, document
from agent.daemon.store import Store
from agent.errors import OtaError
from agent.hawkbit.model import Deployment, Link, parse_deployment

_log = logging.getLogger(__name__)
_DOCUMENT = "installed"
MISMATCH = "server_believes"  # the attribute; absent while the server is right


class Belief:
    """Reads what the server believes, each time that it links to something else.

    Args:
        version: of the running system.
        confirmed: the id of the action whose system runs and was confirmed; empty when it is not known.
    """

    def __init__(self, version: Callable[[], str], confirmed: Callable[[], str]) -> None:
        self._version = version
        self._confirmed = confirmed
        self._read = ""
        self._held: Deployment | None = None
        self._warned = ""

    def look(self, talk: Conversation, link: Link | None, absolute: Callable[[str], str]) -> None:
        """Reads the document behind a link that is new; one that makes no sense is left for the next start."""
        where = urlsplit(link.href).path if link is not None else ""
        if where == self._read:
            return
        held = None
        try:
            if link is not None:
                address = absolute(link.href)
                try:
                    answer = talk.request("GET", address)
                except OtaError as error:
                    _log.info("what the server believes is asked again: %s", error)
                    return
                held = parse_deployment(document(answer))
        except OtaError as error:
            _log.info("what the server believes cannot be read: %s", error)
        self._read, self._held = where, held

    def attributes(self) -> Mapping[str, str | None]:
        """The attribute that says what the server is wrong about; nothing while it is right.

        The version of a software module need not be that of its bundle, so an action that ended here as a success is
        right whatever it is called.
        """
        held, running = self._held, self._version()
        if held is None or held.action_id == self._confirmed():
            return {}
        believed = " ".join(dict.fromkeys(chunk.version for chunk in held.chunks))
        if not believed or running in believed.split():
            return {}
        text = f"{believed} of action {held.action_id}"
        if text != self._warned:
            self._warned = text
            _log.warning("the server believes that %s is installed; %s runs", text, running)
        return {MISMATCH: text}


class LocalInstalls:
    """Tells the server of a system that was installed from a file.

    Args:
        address: of ``installedBase``.
        store: keeps, as the document ``installed``, what has yet to be told.
    """

    def __init__(self, address: str, store: Store) -> None:
        self._address = address
        self._store = store

    def note(self, name: str, version: str) -> None:
        """Keeps a distribution set's name and version, durably, until the server has heard of it."""
        self._store.save(_DOCUMENT, {"name": name[:128], "version": version[:64]})  # hawkBit's limits

    def forget(self) -> None:
        """Something else runs by now."""
        if self._store.load(_DOCUMENT):
            self._store.save(_DOCUMENT, {})

    def tell(self, talk: Conversation) -> None:
        """Says what is kept; logged once when the server knows no such distribution set, and given up."""
        try:
            kept = self._store.load(_DOCUMENT)
            if not kept:
                return
            body = json.dumps({key: str(kept.get(key, "")) for key in ("name", "version")}, separators=(",", ":"))
            answer = talk.request("PUT", self._address, body.encode("ascii"), {"Content-Type": "application/json"})
            if 200 <= answer.status < 300:
                _log.info("the server knows that %s is installed", body)
            elif 400 <= answer.status < 500 and answer.status not in (401, 403, 408, 409, 425, 429):
                _log.warning("the server does not take %s as installed: HTTP status %d", body, answer.status)
            else:
                return  # another time
            self._store.save(_DOCUMENT, {})
        except OtaError as error:
            _log.warning("the local update was not reported: %s", error, extra={"OTA_ERROR_CODE": error.code})

"""What was begun or denied, by manifest hash, so that a medium that stays plugged in does not begin it again and again.

Durable, because an update that fails may restart the device. A note is forgotten when its medium is plugged out, or in.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping

from agent.daemon.store import Store
from agent.errors import EnvironmentFault
from agent.media.choice import Verdict

_log = logging.getLogger(__name__)
_DOCUMENT = "media"
_MAX = 32  # notes; the oldest are forgotten


class Notes:
    """Holds the notes.

    Args:
        store: keeps them, as the document ``media``.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._notes = self._load()

    @property
    def answered(self) -> Mapping[str, Verdict]:
        """``TRIED`` or ``DENIED`` by manifest hash."""
        return self._notes

    def add(self, manifest_hash: str, verdict: Verdict) -> None:
        """Remembers one; what cannot be written counts until the daemon ends, at least.

        Raises:
            EnvironmentFault: ``state.write-failed``.
        """
        if self._notes.get(manifest_hash) is verdict:
            return
        others = {key: value for key, value in self._notes.items() if key != manifest_hash}
        self._notes = dict([*others.items(), (manifest_hash, verdict)][-_MAX:])
        self._save()

    def forget(self, hashes: Collection[str]) -> None:
        """Forgets some; not worth a failure."""
        if not any(each in self._notes for each in hashes):
            return
        self._notes = {key: value for key, value in self._notes.items() if key not in hashes}
        try:
            self._save()
        except EnvironmentFault as error:
            _log.error("%s", error, extra={"OTA_ERROR_CODE": error.code})

    def _save(self) -> None:
        self._store.save(_DOCUMENT, {"notes": [[key, value.value] for key, value in self._notes.items()]})

    def _load(self) -> dict[str, Verdict]:
        try:
            found = (self._store.load(_DOCUMENT) or {}).get("notes")
        except EnvironmentFault as error:  # it was put aside
            _log.error("%s", error, extra={"OTA_ERROR_CODE": error.code})
            return {}
        pairs = found if isinstance(found, list) else []
        known = {verdict.value: verdict for verdict in (Verdict.TRIED, Verdict.DENIED)}
        return {
            str(pair[0]): known[pair[1]]
            for pair in pairs
            if isinstance(pair, list) and len(pair) == 2 and pair[1] in known
        }

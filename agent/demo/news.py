"""What is new on the device and on the server, in sentences."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agent.demo.server import DevServer

_STATES: Mapping[str, str] = {
    "offered": "an update is offered: what is it?",
    "held": "nothing may be fetched yet",
    "inspecting": "signature, kind of device and version are checked before a byte is written",
    "fetching": "only to be downloaded: every byte is fetched and verified",
    "staging": "verified blocks go into slot {target}; slot {fallback} keeps running",
    "staged": "slot {target} was read back from the medium; a last look at the server",
    "activating": "one write to the boot environment: slot {target} first, slot {fallback} behind it",
    "rebooting": "asks for a restart",
    "trial": "version {version} is on trial: is it healthy?",
    "confirming": "healthy: version {version} is confirmed in the boot environment",
    "reverting": "not healthy: slot {fallback} becomes the choice again",
    "reporting": "the server is told how it ended",
}
_PATH = (
    "idle",
    *(state for state in _STATES if state not in ("reverting", "held", "fetching")),
)  # of an update that goes well, without "waiting"


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened. ``source`` is operator, device, board or server; ``tone`` is good, bad or plain."""

    time: float
    source: str
    text: str
    tone: str = "plain"


class News:
    """Remembers what was told already.

    Args:
        listen: told each event once.
    """

    def __init__(self, listen: Callable[[Event], None]) -> None:
        self._listen = listen
        self._state = ""
        self._told: dict[str, int] = {}

    def tell(self, source: str, text: str, tone: str = "plain") -> None:
        """Passes an event on."""
        self._listen(Event(time.monotonic(), source, text, tone))

    def look(self, record: Mapping[str, object], server: DevServer) -> None:
        """Tells what has changed since the last look at the daemon's record and at the server's histories."""
        state = str(record.get("state", ""))
        if state != self._state:
            texts = {key: record.get(key, "") for key in ("version", "target", "fallback")}
            for each in (*passed(self._state, state, str(record.get("outcome", ""))), state):
                if each in _STATES:
                    tone = {"confirming": "good", "reverting": "bad"}.get(each, "plain")
                    self.tell("device", _STATES[each].format(**texts), tone)
            self._state = state
        with server.lock:
            fresh = {
                action.id: action.entries[self._told.get(action.id, 0) :] for action in server.state.actions.values()
            }
        for action_id, entries in fresh.items():
            self._told[action_id] = self._told.get(action_id, 0) + len(entries)
            for entry in entries:
                lines = [line for line in entry.messages if not line.startswith(("Update Server:", "Device reported"))]
                tone = {"FINISHED": "good", "ERROR": "bad"}.get(entry.type, "plain")
                if lines:
                    self.tell("server", f"hears {entry.type}: {' / '.join(lines)}", tone)


def passed(before: str, now: str, outcome: str) -> tuple[str, ...]:
    """The states between two looks that were left again too soon to be seen.

    Args:
        before: state at the look before; empty when there was none.
        now: state at this look.
        outcome: of the update, as recorded; only a successful one has taken the whole way to ``reporting``.
    """
    if now not in _PATH or (before or "idle") not in _PATH or (now == "reporting" and outcome != "success"):
        return ()
    return _PATH[_PATH.index(before or "idle") + 1 : _PATH.index(now)]

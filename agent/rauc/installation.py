"""The life of an update as RAUC tells it: ``Operation``, ``Progress``, ``LastError`` and ``Completed``. Pure.

RAUC knows one operation, from its begin to ``Completed``: while ``Operation`` is ``installing`` no other is accepted, and it
becomes ``idle`` right after ``Completed``, which comes exactly once. Ours lasts longer: after the switch comes the restart,
and then the trial of the new system. ``Completed(0)`` says what it says with RAUC: written, read back, and chosen for the
next boot. What becomes of the trial, RAUC's interface has no words for.

Clients look at one property of a signal only (``on_installer_status`` of rauc-hawkbit-updater, ``on_installer_changed`` of
``rauc``), so that each announcement must be a signal of its own. rauc-hawkbit-updater makes a feedback to the server of each
``Progress``, of which hawkBit takes 1000: there is one for each percent and for each step, not for each change of ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

_WORKING = ("offered", "held", "inspecting", "waiting", "fetching", "staging", "staged", "activating")
_SWITCHED = ("rebooting", "trial", "confirming")  # the new slot is written, and the choice of the next boot
# Percentage, words and depth, as far as RAUC has them its own (src/install.c).
_STEPS: Mapping[str, tuple[int, str, int]] = {
    "offered": (0, "Installing", 1),
    "held": (0, "Waiting until it may begin", 2),
    "inspecting": (5, "Checking bundle", 2),
    "waiting": (20, "Checking bundle done.", 2),
    "fetching": (20, "Downloading bundle", 2),
    "staging": (20, "Updating slots", 2),
    "staged": (96, "Updating slots done.", 2),
    "activating": (98, "Activating slot", 2),
}
# Parts of a step, by the first word of our text: where they begin, and how many percent they are.
_PARTS: Mapping[str, tuple[int, int]] = {"fetching": (20, 65), "writing": (20, 65), "reading": (85, 10)}
_LONGEST = 500  # characters of a message


class Announcement(NamedTuple):
    """A property that has changed, or the signal ``Completed``."""

    name: str
    value: object


class Installation:
    """Follows the agent.

    Args:
        values: the properties of the agent; empty while it does not run.
    """

    def __init__(self, values: Mapping[str, object]) -> None:
        self._state = _text(values, "State")
        self._installing = self._state in _WORKING
        self._left_idle = self._installing
        self._progress = _STEPS.get(self._state, (0, "", 0))
        self._last_error = "" if self._installing else _failure(values)

    @property
    def installing(self) -> bool:
        """Whether ``Completed`` is still to come."""
        return self._installing

    def properties(self) -> dict[str, object]:
        """The values of RAUC's properties."""
        return {
            "Operation": "installing" if self._installing else "idle",
            "LastError": self._last_error,
            "Progress": self._progress,
        }

    def accepted(self) -> list[Announcement]:
        """The agent has taken an order to install."""
        return [] if self._installing else self._begin()

    def refused(self, text: str) -> list[Announcement]:
        """The bundle cannot even be looked at, which RAUC finds out after it has accepted the order.

        Nothing is announced while another one is installed: ``Completed`` would be taken for its end.
        """
        return [] if self._installing else [*self._begin(), *self._end(text)]

    def changed(self, values: Mapping[str, object], names: Sequence[str]) -> list[Announcement]:
        """The agent has told something new.

        Args:
            values: all its properties as they are now.
            names: those that were told.
        """
        state, before = _text(values, "State"), self._state
        self._state = state
        if state in _WORKING:
            began = [] if self._installing else self._begin()
            self._left_idle = True
            told = values.get("Progress") if state == before and "Progress" in names else None
            return began + self._at(*_progress(state, told, self._progress))
        if self._installing and state in _SWITCHED:
            return self._end("")
        if self._installing and state == "idle" and self._left_idle:
            return self._end(_failure(values))
        if not self._installing and "LastResult" in names:
            return self._error(_failure(values))
        return []

    def finished(self, values: Mapping[str, object]) -> list[Announcement]:
        """The agent has said how an update ended; it may have ended before it was seen to begin."""
        if self._installing and self._state in ("idle", ""):
            return self._end(_failure(values))
        self._left_idle = True
        return []

    def lost(self) -> list[Announcement]:
        """The agent went away in the middle, and did not come back."""
        return self._end("the update agent has ended; it goes on when it is started again") if self._installing else []

    def _begin(self) -> list[Announcement]:
        self._installing, self._left_idle = True, False
        operation = Announcement("Operation", "installing")
        self._progress = (-1, "", 0)
        return [operation, *self._error(""), *self._at(*_STEPS["offered"])]

    def _end(self, problem: str) -> list[Announcement]:
        """An empty ``problem`` is success."""
        last = self._at(100, "Installing failed." if problem else "Installing done.", 1)
        self._installing = self._left_idle = False
        completed = Announcement("Completed", 1 if problem else 0)
        return [*last, *self._error(problem), completed, Announcement("Operation", "idle")]

    def _at(self, percent: int, message: str, depth: int) -> list[Announcement]:
        if (percent, message, depth) == self._progress:
            return []
        self._progress = (percent, message, depth)
        return [Announcement("Progress", self._progress)]

    def _error(self, text: str) -> list[Announcement]:
        if text == self._last_error:
            return []
        self._last_error = text
        return [Announcement("LastError", text)]


def one_line(brief: str, code: str, resolution: str = "", details: str = "") -> str:
    """An error of ours for ``LastError``, which is one text.

    Args:
        brief: what happened.
        code: of the error.
        resolution: what the reader can do about it.
        details: why.
    """
    text = f"{brief}: {details}" if details else brief
    return " ".join(f"{text} [{code}]{f'; next: {resolution}' if resolution else ''}".split())[:2000]


def _progress(state: str, told: object, before: tuple[int, str, int]) -> tuple[int, str, int]:
    """Where it is now. Nothing goes back: an agent that goes on after a break begins its count anew."""
    percent, message, depth = _STEPS[state]
    percent = max(percent, before[0])
    if not isinstance(told, tuple | list) or len(told) != 3:
        return percent, before[1] if percent == before[0] and before[1].startswith(message) else message, depth
    fraction, text, count = told
    part = _PARTS.get(str(text).partition(" ")[0])
    if part is None or not count:  # words of a program in the bundle
        return percent, f"{message}: {text}"[:_LONGEST] if text else message, depth
    share = min(1.0, max(0.0, fraction)) if isinstance(fraction, float | int) else 0.0
    return max(percent, part[0] + int(part[1] * share)), message, depth


def _failure(values: Mapping[str, object]) -> str:
    """Why the last update failed; empty when it did not."""
    result = values.get("LastResult")
    outcome, _version, code, brief = result if isinstance(result, tuple | list) and len(result) == 4 else ("",) * 4
    if outcome in ("", "success"):
        return ""
    if outcome == "downloaded":
        return "the bundle was downloaded and verified, but not installed, as the server wanted"
    error = values.get("LastError")
    same = isinstance(error, tuple | list) and len(error) == 3 and error[0] == code
    advice = str(error[2]) if same and isinstance(error, tuple | list) else ""
    return one_line(str(brief) or "the update was given up", str(code) or "update.cancelled", advice)


def _text(values: Mapping[str, object], name: str) -> str:
    value = values.get(name)
    return value if isinstance(value, str) else ""

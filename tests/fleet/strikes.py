"""Moments at which a device may be struck: before and after everything that anybody else can see of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

Kind = Literal["kill", "power", "lose"]
KINDS: tuple[Kind, ...] = ("kill", "power", "lose")


class Killed(BaseException):
    """``kill -9``: the daemon is gone, the service manager starts it again. Not an Exception: nothing may catch it."""


class PowerCut(BaseException):
    """The device is switched off and on again."""


class Lost(BaseException):
    """An answer was given, and did not arrive."""


@dataclass(frozen=True, slots=True)
class Strike:
    """One blow at one moment.

    Args:
        at: name of the moment, with the number of its occurrence; empty for none.
        kind: ``kill`` takes the daemon, ``power`` the device, ``lose`` only the answer that just came.
    """

    at: str = ""
    kind: Kind = "kill"


class Moments:
    """Names the moments of one device, and strikes at one of them.

    Args:
        strike: where.
    """

    def __init__(self, strike: Strike | None = None) -> None:
        self.names: list[str] = []
        self.answers: list[str] = []  # the moments at which an answer can be lost
        self.struck = False
        self._seen: Counter[str] = Counter()
        self._strike = strike or Strike()

    def pass_by(self, what: str, *, answer: bool = False) -> None:
        """It is this moment.

        Raises:
            Killed, PowerCut, Lost: the blow falls.
        """
        self._seen[what] += 1
        name = f"{what} ({self._seen[what]})"
        self.names.append(name)
        if answer:
            self.answers.append(name)
        if name != self._strike.at or (self._strike.kind == "lose" and not answer):
            return
        self.struck = True
        if self._strike.kind == "lose":
            raise Lost
        raise Killed if self._strike.kind == "kill" else PowerCut

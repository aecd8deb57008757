"""Moments at which a device may be struck: before and after everything that anybody else can see of it."""

from __future__ import annotations

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


@dataclass(slots=True)
class Strike:
    """One blow at one moment.

    Args:
        at: number of the moment; none with -1.
        kind: ``kill`` takes the daemon, ``power`` the device, ``lose`` only the answer that just came.
    """

    at: int = -1
    kind: Kind = "kill"


class Moments:
    """Counts the moments of one device, and strikes at one of them.

    Args:
        strike: where.
    """

    def __init__(self, strike: Strike | None = None) -> None:
        self.names: list[str] = []
        self.answers: list[int] = []  # the moments at which an answer can be lost
        self.struck = ""
        self.open = False  # the first boot, before there is an update, is not what is looked at
        self._strike = strike or Strike()

    def pass_by(self, name: str, *, answer: bool = False) -> None:
        """It is this moment.

        Raises:
            Killed, PowerCut, Lost: the blow falls.
        """
        if not self.open:
            return
        number = len(self.names)
        self.names.append(name)
        if answer:
            self.answers.append(number)
        if number != self._strike.at:
            return
        self.struck = f"{self._strike.kind} at {number}: {name}"
        if self._strike.kind == "lose":
            raise Lost
        raise Killed if self._strike.kind == "kill" else PowerCut

"""Postponing an update: how often, for how long at once, and for how long in all. Pure.

Times are the seconds since the update was first seen (``agent.consent.elapsed``), so that neither the date nor a restart
makes a postponement longer or shorter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from agent.errors import PolicyError


@dataclass(frozen=True, slots=True)
class Limits:
    """What is allowed: how often, seconds at once, seconds in all, and at which age of the update it is over for good."""

    count: int
    longest: float
    total: float
    deadline: float


@dataclass(frozen=True, slots=True)
class Deferral:
    """What was postponed.

    Attributes:
        used: how often.
        spent: seconds of earlier postponements.
        since: age of the update at which the last one began.
        until: and at which it ends; not after ``since`` when none runs.
    """

    used: int = 0
    spent: float = 0.0
    since: float = 0.0
    until: float = 0.0

    def left(self, age: float, limits: Limits) -> float:
        """Seconds that the running postponement still takes, of which stricter limits than before take their part."""
        return max(0.0, min(self.until, self.since + limits.total - self.spent, limits.deadline) - age)

    def gone(self, age: float, limits: Limits) -> float:
        """Seconds that all postponements have taken so far."""
        end = min(age, self.until, self.since + limits.total - self.spent, limits.deadline)
        return self.spent + max(0.0, end - self.since)

    def stopped(self, age: float, limits: Limits) -> Deferral:
        """The same with none that runs."""
        return replace(self, spent=self.gone(age, limits), since=age, until=age)

    def allowed(self, age: float, limits: Limits) -> float:
        """Seconds for which it could be postponed now; 0 when it cannot be any more."""
        if self.used >= limits.count:
            return 0.0
        return max(0.0, min(limits.longest, limits.total - self.gone(age, limits), limits.deadline - age))

    def postponed(self, seconds: float, age: float, limits: Limits) -> Deferral:
        """Postpones it, from now on; a postponement that still runs ends with that.

        Args:
            seconds: for how long.
            age: of the update.
            limits: that hold for it.

        Raises:
            PolicyError: ``consent.postponed-often``, ``consent.postponed-long``.
        """
        if self.used >= limits.count:
            raise PolicyError(
                "consent.postponed-often", "the update cannot be postponed again",
                details=f"it was postponed {self.used} times; {limits.count} are allowed",
                resolution="let it be installed; to have no updates installed by themselves: ota-agent auto off",
            )  # fmt: skip
        possible = self.allowed(age, limits)
        if not 0 < seconds <= possible:
            raise PolicyError(
                "consent.postponed-long", "the update cannot be postponed for so long",
                details=f"{seconds:.0f} s were asked for, from 1 to {possible:.0f} s are possible",
                resolution="ask for less; the more urgent an update is, the less it can be postponed",
            )  # fmt: skip
        return Deferral(self.used + 1, self.gone(age, limits), age, age + seconds)

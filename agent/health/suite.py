"""Runs the checks and decides: healthy is who stays green for the soak time before the deadline.

1. A round runs every check, so that a verdict names all that is wrong.
2. All checks must be green in every round for ``soak`` seconds; one red round starts the count again.
3. The decision falls before the deadline: as soon as the soak time is over, or as soon as it can no longer be reached.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from agent.health.result import Check, CheckResult, Verdict, red

log = logging.getLogger("agent.health")


class Suite:
    """The checks of one device.

    Args:
        checks: run one after the other, in this order.
    """

    def __init__(self, checks: Sequence[Check]) -> None:
        self._checks = tuple(checks)

    @property
    def names(self) -> tuple[str, ...]:
        """What is checked."""
        return tuple(check.name for check in self._checks)

    def run_once(self) -> tuple[CheckResult, ...]:
        """Runs every check once."""
        return tuple(_run(check) for check in self._checks)

    def evaluate(
        self,
        deadline: float,
        soak: float,
        interval: float,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Verdict:
        """Watches the checks until they allow a verdict.

        Args:
            deadline: seconds from now until which the system must have proven itself.
            soak: seconds for which all checks must stay green.
            interval: seconds from the end of a round to the next.
            clock: seconds that never jump.
            sleep: waits so many seconds, or less when something happens.
            cancelled: whether somebody asked to stop; looked at before each round.
        """
        end = clock() + deadline
        green_since: float | None = None
        failed: tuple[CheckResult, ...] = ()
        while not cancelled():
            red_now = tuple(result for result in self.run_once() if not result.ok)
            now = clock()
            if red_now:
                failed, green_since = red_now, None
            elif green_since is None:
                green_since = now
            healthy_at = (now if green_since is None else green_since) + soak
            # Also a round that ended after the deadline is late: it proves nothing about the time before.
            if healthy_at > end or now > end or (red_now and now >= end):
                return Verdict(ok=False, failed=failed or (_too_late(deadline, soak),))
            if green_since is not None and now >= healthy_at:
                return Verdict(ok=True)
            sleep(min(interval, (end if green_since is None else healthy_at) - now))
        return Verdict(ok=False, failed=failed, cancelled=True)


def _run(check: Check) -> CheckResult:
    try:
        return check.run()
    except Exception as error:  # a check that breaks is a check that fails, and must not take the daemon with it
        log.exception("the check %s broke", check.name)
        return red(check.name, f"the check broke: {type(error).__name__}: {error}")


def _too_late(deadline: float, soak: float) -> CheckResult:
    return red("deadline", f"the checks were not green for {soak:g} s within {deadline:g} s")

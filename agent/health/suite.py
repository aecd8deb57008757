"""Runs the checks and decides: healthy is who stays green for the soak time before the deadline.

1. A round runs every check, so that a verdict names all that is wrong.
2. All checks must be green for ``soak`` seconds. A red one starts the count again, but for its first ``retries`` failures
   in a row; the round that decides must be green as a whole.
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
        retries: how often in a row a check may fail before it counts.
        stopping: whether the daemon is to end: then the checks that are left are not run.
        finish: called after each round, to end what the checks have started together.
    """

    def __init__(
        self,
        checks: Sequence[Check],
        *,
        retries: int = 0,
        stopping: Callable[[], bool] = lambda: False,
        finish: Callable[[], None] = lambda: None,
    ) -> None:
        self._checks = tuple(checks)
        self._retries = retries
        self._stopping = stopping
        self._finish = finish

    @property
    def names(self) -> tuple[str, ...]:
        """What is checked."""
        return tuple(check.name for check in self._checks)

    def run_once(self, seen: Callable[[CheckResult], None] = lambda _: None) -> tuple[CheckResult, ...]:
        """Runs every check once; fewer when the daemon is to end.

        Args:
            seen: told each result as soon as it is known.
        """
        results: list[CheckResult] = []
        try:
            for check in self._checks:
                if self._stopping():
                    break
                results.append(self._run(check))
                seen(results[-1])
        finally:
            self._finish()
        return tuple(results)

    def evaluate(
        self,
        deadline: float,
        soak: float,
        interval: float,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        cancelled: Callable[[], bool] = lambda: False,
        seen: Callable[[Sequence[CheckResult]], None] = lambda _: None,
    ) -> Verdict:
        """Watches the checks until they allow a verdict.

        Args:
            deadline: seconds from now until which the system must have proven itself.
            soak: seconds for which all checks must stay green.
            interval: seconds from the end of a round to the next.
            clock: seconds that never jump.
            sleep: waits so many seconds, or less when something happens.
            cancelled: whether somebody asked to stop; looked at before each round.
            seen: told the results of each round.
        """
        end = clock() + deadline
        green_since: float | None = None
        failed: tuple[CheckResult, ...] = ()
        misses = [0] * len(self._checks)  # of each check, in a row
        while not cancelled():
            results = self.run_once()
            if self._stopping():  # on its way down a system looks sick
                break
            now = clock()
            seen(results)
            red_now = tuple(result for result in results if not result.ok)
            misses = [0 if result.ok else count + 1 for count, result in zip(misses, results, strict=True)]
            failed = red_now or failed
            if any(count > self._retries for count in misses):
                green_since = None
            elif green_since is None and not red_now:
                green_since = now
            healthy_at = (now if green_since is None else green_since) + soak
            # Also a round that ended after the deadline is late: it proves nothing about the time before.
            if healthy_at > end or now > end or (red_now and now >= end):
                late = () if red_now else (_too_late(deadline, soak),)
                return Verdict(ok=False, failed=failed or late, late=not red_now)
            if green_since is not None and not red_now and now >= healthy_at:
                return Verdict(ok=True)
            sleep(min(interval, (end if green_since is None or red_now else healthy_at) - now))
        return Verdict(ok=False, failed=failed, cancelled=True)

    def _run(self, check: Check) -> CheckResult:
        try:
            return check.run()
        except Exception as error:  # a check that breaks is a check that fails, and must not take the daemon with it
            if not self._stopping():  # which interrupts a check
                log.exception("the check %s broke", check.name)
            return red(check.name, f"the check broke: {type(error).__name__}: {error}")


def _too_late(deadline: float, soak: float) -> CheckResult:
    return red("deadline", f"the checks were not green for {soak:g} s within {deadline:g} s")

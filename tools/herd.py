"""Ten thousand schedules against one server: ``python -m tools.herd`` draws docs/polling.svg and prints what was measured.

The schedule is the agent's own (``agent.daemon.poll_plan``); only time and the answers are simulated. With the same seed the
result is the same, byte by byte.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from random import Random
from types import SimpleNamespace

from agent.daemon.network import Response, ServerRefusal
from agent.daemon.poll_plan import PollPlan
from agent.errors import EnvironmentFault, OtaError

DEVICES = 10_000
SEED = 1
INTERVAL = 300.0  # seconds; hawkBit's default
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
BUCKET = 10  # seconds
# The defaults of the configuration.
SETTINGS = {"poll_min": 30.0, "poll_max": DAY, "poll_first_delay": 30.0, "poll_splay": True}

Answer = Callable[[float], OtaError | None]  # what a poll at this time fails with; None when it works


@dataclass(frozen=True, slots=True)
class Scenario:
    """A story, from ``begin`` to ``end`` in seconds; 0 is the moment that it is about.

    ``booted`` gives the time of a device's boot from a random number. ``shown`` is where the figure begins.
    """

    name: str
    title: str
    text: str
    booted: Callable[[float], float]
    answer: Answer
    shown: float
    end: float


class _Clock:
    now = 0.0

    def boottime(self) -> float:
        return self.now


_DOWN = EnvironmentFault("net.connect", "no connection")


def _works(_: float) -> None:
    return None


def _down_for_a_day(moment: float) -> OtaError | None:
    return _DOWN if -DAY <= moment < 0 else None


def _maintenance(moment: float) -> OtaError | None:
    """For an hour everybody is told the same moment to come back."""
    if not -HOUR <= moment < 0:
        return None
    response = Response(503, {"retry-after": str(ceil(-moment))}, b"")
    return ServerRefusal("net.http-status", "maintenance", response, details="", resolution="")


SCENARIOS = (
    Scenario(
        "ordinary", "Ordinary operation", "all booted in the same second, a week ago",
        lambda _: -7 * DAY, _works, 0.0, 30 * MINUTE,
    ),
    Scenario(
        "power", "Power cut of a whole site", "all boot in the same second, at minute 0",
        lambda _: 0.0, _works, 0.0, 30 * MINUTE,
    ),
    Scenario(
        "outage", "Server down for a day", "it answers again at minute 0; before that, connections are refused",
        lambda chance: -DAY - HOUR * (1 + chance), _down_for_a_day, -30 * MINUTE, 90 * MINUTE,
    ),
    Scenario(
        "maintenance", "Maintenance for an hour", "all are told by Retry-After to come back at minute 0",
        lambda chance: -2 * HOUR - HOUR * chance, _maintenance, -70 * MINUTE, 30 * MINUTE,
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What the server saw.

    Args:
        seconds: requests in each second.
        outage: the most requests of one device while the server did not work.
        mean: the mean of that over the devices.
        silent: the longest time in seconds from the moment 0 to the first poll of a device that worked.
    """

    seconds: Counter[int]
    outage: int
    mean: float
    silent: float

    def highest_second(self, begin: float = 0.0) -> int:
        """The most requests in one second, from ``begin`` on."""
        return max(count for second, count in self.seconds.items() if second >= begin)

    def rates(self, begin: float, end: float) -> list[float]:
        """Requests for each second, averaged over buckets."""
        starts = range(int(begin), int(end), BUCKET)
        return [sum(self.seconds[second] for second in range(start, start + BUCKET)) / BUCKET for start in starts]


def uniform(devices: int = DEVICES) -> float:
    """Requests for each second if all were spread perfectly."""
    return devices / INTERVAL


def polls(scenario: Scenario, device: int, seed: int) -> Iterator[tuple[float, bool]]:
    """One device's polls: when, and whether they worked."""
    random = Random(f"{seed} {scenario.name} {device}")
    boot = scenario.booted(random.random())
    clock = _Clock()
    settings = SimpleNamespace(**SETTINGS, controller_id=f"gateway-{device:05}")
    if boot < -2 * DAY:  # a week changes nothing that a few polls do not: its beginning is left out
        clock.now = -boot - HOUR
    plan = PollPlan(settings, clock, random.random)  # type: ignore[arg-type]  # the same attributes
    while (moment := boot + plan.next_poll) < scenario.end:
        clock.now = plan.next_poll
        error = scenario.answer(moment)
        yield moment, error is None
        if error is None:
            plan.worked(int(INTERVAL))
        else:
            plan.failed(error)


def simulate(scenario: Scenario, devices: int = DEVICES, seed: int = SEED) -> Arrivals:
    """Lets all devices live through a scenario."""
    seconds: Counter[int] = Counter()
    worst = total = 0
    silent = 0.0
    for device in range(devices):
        failed = 0
        heard = False
        for moment, worked in polls(scenario, device, seed):
            failed += not worked
            if moment >= scenario.shown:
                seconds[int(moment // 1)] += 1
            if worked and moment >= 0 and not heard:
                heard, silent = True, max(silent, moment)
        worst, total = max(worst, failed), total + failed
    return Arrivals(seconds, worst, total / devices, silent)


def main() -> int:
    """Simulates everything, writes the figure, prints the table."""
    from tools.herd_figure import figure

    found = {scenario.name: simulate(scenario) for scenario in SCENARIOS}
    target = Path(__file__).resolve().parent.parent / "docs" / "polling.svg"
    target.write_text(figure(found), "ascii")
    even = uniform()
    print(f"{DEVICES} devices, one poll in {INTERVAL:.0f} s: {even:.1f} requests/s if spread perfectly")
    for scenario in SCENARIOS:
        one = found[scenario.name]
        peak = max(one.rates(0, scenario.end))
        print(
            f"{scenario.name:12} highest second {one.highest_second():4} ({one.highest_second() / DEVICES:.2%})  "
            f"highest {BUCKET} s {peak:5.1f}/s ({peak / even:.2f})  all heard after {one.silent:6.0f} s  "
            f"failed polls: most {one.outage}, mean {one.mean:.1f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())

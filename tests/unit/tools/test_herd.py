"""What docs/polling.md promises about a fleet of ten thousand devices, measured with the agent's own schedule."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.hawkbit.schedule import Failure, Limits, most_polls
from tools.herd import DAY, DEVICES, INTERVAL, MINUTE, SCENARIOS, Arrivals, simulate, uniform
from tools.herd_figure import figure

FIGURE = Path(__file__).parents[3] / "docs" / "polling.svg"
EVEN = uniform()


@pytest.fixture(scope="module")
def found() -> dict[str, Arrivals]:
    return {scenario.name: simulate(scenario) for scenario in SCENARIOS}


@pytest.mark.req("C14")
@pytest.mark.parametrize("name", [scenario.name for scenario in SCENARIOS])
def test_no_second_sees_more_than_one_percent_of_the_fleet(found: dict[str, Arrivals], name: str) -> None:
    assert found[name].highest_second() <= DEVICES / 100


@pytest.mark.req("C14")
@pytest.mark.parametrize(
    ("name", "times"), [("ordinary", 1.25), ("power", 1.6), ("outage", 1.35), ("maintenance", 1.6)]
)
def test_no_ten_seconds_see_much_more_than_a_perfect_spread(
    found: dict[str, Arrivals], name: str, times: float
) -> None:
    assert max(found[name].rates(0, 30 * MINUTE)) <= times * EVEN


@pytest.mark.req("C14")
def test_after_a_day_without_the_server_everybody_is_back_within_an_hour(found: dict[str, Arrivals]) -> None:
    assert found["outage"].silent <= 60 * MINUTE
    assert max(found["outage"].rates(0, 5 * MINUTE)) <= 0.5 * EVEN, "gently at first"


@pytest.mark.req("C14")
def test_the_requests_of_a_day_without_the_server_keep_to_the_bound(found: dict[str, Arrivals]) -> None:
    most = most_polls(Limits(30, DAY, INTERVAL), Failure.UNREACHABLE, INTERVAL, DAY)
    assert found["outage"].outage <= most == 54
    assert found["outage"].mean > 40, "the fleet keeps trying"


@pytest.mark.req("C14")
def test_a_server_that_says_when_to_come_back_is_left_alone_until_then(found: dict[str, Arrivals]) -> None:
    assert found["maintenance"].outage == 1
    assert max(found["maintenance"].rates(-50 * MINUTE, 0)) == 0


def test_the_figure_shows_this_schedule(found: dict[str, Arrivals]) -> None:
    assert figure(found) == FIGURE.read_text("ascii"), "run: python -m tools.herd"

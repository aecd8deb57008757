"""The plan of polls: a place of its own for each device, patience with a server that fails, and no end of the silence later
than configured."""

from __future__ import annotations

import random
from statistics import fmean
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.pretend import Clock

from agent.daemon.network import Response, document
from agent.daemon.poll_plan import CheckLimit, PollPlan
from agent.errors import EnvironmentFault, OtaError
from agent.hawkbit.schedule import Failure, Limits, most_polls

DAY = 86400.0


def plan(clock: Clock, name: str = "dev", seed: int = 1, **changes: object) -> PollPlan:
    values = {"poll_min": 30.0, "poll_max": DAY, "poll_first_delay": 30.0, "poll_splay": True, "controller_id": name}
    return PollPlan(SimpleNamespace(**values | changes), clock, random.Random(seed).random)  # type: ignore[arg-type]  # same shape


def started(clock: Clock, **changes: object) -> PollPlan:
    """A plan whose first poll has worked."""
    found = plan(clock, **changes)  # type: ignore[arg-type]  # as above
    clock.now = found.next_poll
    found.worked(300)
    clock.now = found.next_poll
    return found


def refused(status: int, **headers: str) -> OtaError:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    with pytest.raises(OtaError) as caught:
        document(Response(status, names, b""))
    return caught.value


DOWN = EnvironmentFault("net.connect", "no network")
ERRORS: dict[Failure, OtaError] = {
    Failure.UNREACHABLE: DOWN,
    Failure.TLS: EnvironmentFault("net.tls-expired", "expired"),
    Failure.UNAUTHORISED: refused(401),
    Failure.BUSY: refused(503),
    Failure.SERVER_ERROR: refused(500),
    Failure.UNKNOWN_TARGET: refused(404),
    Failure.INVALID: EnvironmentFault("ddi.invalid-document", "nonsense"),
    Failure.LOCAL: EnvironmentFault("child.died", "it died"),
}


@pytest.mark.req("C14")
@pytest.mark.parametrize("failure", list(Failure))
@pytest.mark.parametrize("seed", range(5))
def test_a_day_without_the_server_costs_no_more_polls_than_documented(failure: Failure, seed: int) -> None:
    clock = Clock()
    asking = started(clock, seed=seed)
    begin, polls = clock.now, 0
    while clock.now < begin + DAY:
        polls += 1
        asking.failed(ERRORS[failure])
        clock.now = asking.next_poll
    assert polls <= most_polls(Limits(30, DAY, 300), failure, 300, DAY)
    assert polls >= 5, "and it does not forget to ask"


def test_wrong_credentials_slow_a_device_down_strongly() -> None:
    clock = Clock()
    asking = started(clock)
    asking.failed(refused(401))
    waits = []
    for _ in range(10):
        clock.now = asking.next_poll
        asking.failed(refused(401))
        waits.append(asking.next_poll - clock.now)
    assert fmean(waits[-3:]) > 3600


def test_a_success_forgets_the_failures() -> None:
    clock = Clock()
    asking = started(clock)
    for _ in range(20):
        asking.failed(DOWN)
        clock.now = asking.next_poll
    asking.worked(300)
    assert asking.not_before == 0
    clock.now = asking.next_poll
    asking.failed(DOWN)
    assert asking.next_poll - clock.now <= 60


@settings(deadline=None)
@given(
    st.lists(
        st.one_of(
            st.sampled_from(list(ERRORS.values())),
            st.integers(0, 10**9).map(lambda n: refused(429, retry_after=str(n))),
            st.integers(0, 10**9),
        ),
        max_size=60,
    ),
    st.integers(0, 99),
)
def test_nothing_a_server_says_silences_a_device_for_longer_than_the_maximum(
    events: list[OtaError | int], seed: int
) -> None:
    clock = Clock()
    asking = plan(clock, seed=seed, poll_max=7200.0)
    for event in events:
        clock.now = asking.next_poll
        if isinstance(event, int):
            asking.worked(event)
        else:
            asking.failed(event)
        assert 29.9 <= asking.next_poll - clock.now <= 7200.1


@pytest.mark.req("C14")
@pytest.mark.parametrize(
    "headers",
    [
        {"retry_after": "1800"},
        {"retry_after": "Wed, 21 Oct 2026 08:00:00 GMT", "date": "Wed, 21 Oct 2026 07:30:00 GMT"},
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_kept_and_the_fleet_spread_behind_it(status: int, headers: dict[str, str]) -> None:
    waits = []
    for seed in range(50):
        clock = Clock()
        asking = started(clock, seed=seed)
        asking.failed(refused(status, **headers))
        waits.append(asking.next_poll - clock.now)
    assert min(waits) >= 1800
    assert 1800 + 200 <= max(waits) <= 1800 + 300, "over one interval"
    assert len(set(waits)) == 50


def test_a_server_that_asks_for_too_much_patience_does_not_gather_the_fleet_at_the_maximum() -> None:
    waits = []
    for seed in range(50):
        clock = Clock()
        asking = started(clock, seed=seed, poll_max=7200.0)
        asking.failed(refused(503, retry_after="999999999"))
        waits.append(asking.next_poll - clock.now)
    assert max(waits) <= 7200
    assert max(waits) - min(waits) >= 200


def test_a_failed_check_on_demand_does_not_put_the_plan_off() -> None:
    clock = Clock()
    asking = started(clock)
    asking.failed(DOWN)
    planned = asking.next_poll
    for _ in range(5):
        clock.now += 1
        asking.failed(DOWN)
    assert asking.next_poll == planned == asking.not_before


@pytest.mark.req("C14")
def test_a_device_has_the_same_place_in_each_boot_and_another_than_its_neighbour() -> None:
    firsts = [plan(Clock(), name, poll_first_delay=0.0).next_poll for name in ("dev-1", "dev-1", "dev-2")]
    assert firsts[0] == firsts[1]
    assert abs(firsts[0] - firsts[2]) > 1


def test_devices_with_consecutive_names_are_spread_over_the_whole_interval() -> None:
    clock = Clock()
    firsts = [plan(clock, f"gateway-{n:05}", poll_first_delay=0.0).next_poll - clock.now for n in range(3000)]
    tenths = [sum(30 * n <= first < 30 * (n + 1) for first in firsts) for n in range(10)]
    assert sum(tenths) == 3000
    assert 240 <= min(tenths) <= max(tenths) <= 360


@pytest.mark.parametrize(("splay", "within"), [(True, 300), (False, 30), (0.0, 30), (20.0, 30), (3600.0, 3600)])
def test_the_first_poll_comes_within_the_splay_and_the_random_delay(splay: bool | float, within: float) -> None:
    clock = Clock()
    firsts = [plan(clock, f"{n}", n, poll_splay=splay).next_poll - clock.now for n in range(300)]
    assert 0.8 * within < max(firsts) <= within
    assert min(firsts) >= 0


def test_a_site_that_boots_in_the_same_second_is_spread_over_an_interval_of_a_day_at_the_second_poll() -> None:
    seconds = []
    for n in range(500):
        clock = Clock()
        asking = plan(clock, f"{n}", n)
        clock.now = asking.next_poll
        asking.worked(86400)
        seconds.append(asking.next_poll)
    hours = [sum(3600 * hour <= moment < 3600 * (hour + 1) for moment in seconds) for hour in range(27)]
    assert max(hours) < 60


def test_without_a_place_the_interval_is_only_jittered() -> None:
    clock = Clock()
    asking = started(clock, poll_splay=False)
    asking.worked(1000)
    assert 900 <= asking.next_poll - clock.now <= 1100


@pytest.mark.parametrize(("sleep", "least", "most"), [(300, 15, 30), (20, 15, 20), (1, 1, 1)])
def test_a_running_update_asks_every_fifteen_to_thirty_seconds(sleep: int, least: float, most: float) -> None:
    clock = Clock()
    asking = plan(clock, poll_min=1.0)
    asking.worked(sleep)
    intervals = [asking.watch_interval for _ in range(200)]
    assert least <= min(intervals) <= max(intervals) <= most


def test_checks_on_demand_have_a_pause_between_them() -> None:
    clock = Clock()
    limit = CheckLimit(30, clock)
    assert limit.take() == 0
    clock.now += 10
    assert limit.take() == 20
    clock.now += 20
    assert limit.take() == 0
    assert CheckLimit(0, clock).take() == CheckLimit(0, clock).take() == 0

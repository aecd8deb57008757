"""A rollout in stages of 1, 10, 50 and 100 % over 200 devices ends as it must, and the server knows the truth of each."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fleet import stages
from fleet.conftest import ANCIENT, QUICK
from fleet.rollouts import Figures, Fleet, shares
from fleet.server import Place
from fleet.systems import DEAD, SICK

Story = Callable[[Fleet], Figures]
STORIES: dict[str, Story] = {
    "good": stages.good_version_reaches_everybody,
    "sick": lambda fleet: stages.bad_version_stops_at_the_canaries(fleet, SICK),
    "too-many": stages.too_many_failures_stop_it_where_they_show,
}
MORE: dict[str, Story] = {
    "dead": lambda fleet: stages.bad_version_stops_at_the_canaries(fleet, DEAD),
    "some": stages.some_failures_are_borne,
}
SHORT = ("good", "sick")
TOLD = {name: STORIES[name] for name in SHORT} if ANCIENT else STORIES if QUICK else {**STORIES, **MORE}


def test_the_shares_of_the_devices_that_are_left_make_the_same_groups() -> None:
    left, sizes = 200, []
    for share in shares(of_rest=True):
        sizes.append(round(share / 100 * left))
        left -= sizes[-1]
    assert sizes == list(stages.SIZES.values())


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.req("S02", "S42", "T31")
@pytest.mark.parametrize("story", TOLD.values(), ids=TOLD)
def test_the_rollout_ends_as_it_must(server: Place, story: Story) -> None:
    with server.fleet() as fleet:
        fleet.switch_on(stages.OLD)
        print(server.kind, server.version, story(fleet))  # noqa: T201  for docs/fleet.md

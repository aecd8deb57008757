"""Whatever happens to a device at whatever moment, the server's last word about it is the truth."""

from __future__ import annotations

import pytest

from fleet.conftest import ANCIENT, QUICK
from fleet.kills import prove
from fleet.paths import PATHS, Path_
from fleet.server import Place
from fleet.strikes import Kind

MORE = ("cancelled-late", "refused", "gone")  # left out where this is one of many tests
SHORT = ("sick",)  # for a server that is one of many tests, and the slowest
TOLD = [path for path in PATHS if (path.name in SHORT if ANCIENT else not (QUICK and path.name in MORE))]
FEWEST = 30  # blows on the shortest path; fewer would mean that moments are not seen any more
MISSED = 4  # of one path: two moments for each of two kinds of blow


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.req("S02", "S07", "S08")
@pytest.mark.parametrize("path", TOLD, ids=lambda path: path.name)
def test_the_last_word_is_true_after_a_blow_at_any_moment(server: Place, path: Path_, kinds: tuple[Kind, ...]) -> None:
    tally = prove(server.management, server.url, path, server.directory, kinds)
    print(server.kind, server.version, tally)  # noqa: T201  for docs/fleet.md
    assert tally.violations == []
    assert tally.cases > FEWEST
    assert len(tally.missed) <= MISSED
    assert sum(tally.reached.values()) == tally.cases

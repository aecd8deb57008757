"""Whatever happens to a device at whatever moment, the server's last word about it is the truth."""

from __future__ import annotations

from pathlib import Path

import pytest
from hawkbit.instances import running

from fleet.device import surroundings
from fleet.kills import prove
from fleet.paths import PATHS, Path_

FEWEST = 45  # blows on the shortest path; fewer would mean that moments are not seen any more


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.req("S02", "S07", "S08")
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_the_last_word_is_true_after_a_blow_at_any_moment(path: Path_, shared_memory: Path) -> None:
    with running("development", shared_memory, sleep="00:01:00") as server, surroundings():
        assert server.management is not None
        tally = prove(server.management, server.url, path, shared_memory)
    print(tally)  # noqa: T201  what was proved is a figure
    assert tally.violations == []
    assert tally.cases > FEWEST
    assert sum(tally.reached.values()) == tally.cases

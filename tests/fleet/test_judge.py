"""A device that lies is caught: the proofs of this folder can fail."""

from __future__ import annotations

from pathlib import Path

import pytest
from hawkbit.instances import running

from agent.daemon.activities import report
from agent.daemon.record import Record
from agent.hawkbit import feedback
from fleet.device import surroundings
from fleet.kills import Bench, Tally
from fleet.paths import PATHS
from fleet.strikes import Strike


def _praise(record: Record) -> feedback.Feedback:
    return feedback.success(record.action_id, "all is well")


@pytest.mark.parametrize("name", ["sick", "dead", "refused"])
def test_a_success_that_is_none_is_seen(name: str, shared_memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "last_word", _praise)
    path = next(path for path in PATHS if path.name == name)
    tally = Tally(name)
    with running("development", shared_memory, sleep="00:01:00") as server, surroundings():
        assert server.management is not None
        Bench(server.management, server.url, path, shared_memory).play(tally, Strike())
    assert any("FINISHED" in each for each in tally.violations)
    assert any("success was said while 1.0.0 ran" in each for each in tally.violations)
    assert any("believes that 1.1.0 is installed" in each for each in tally.violations)

"""A device that lies is caught: the proofs of this folder can fail."""

from __future__ import annotations

import pytest

from agent.daemon.activities import report
from agent.daemon.record import Record
from agent.hawkbit import feedback
from fleet.kills import Bench, Tally
from fleet.paths import PATHS
from fleet.server import Place
from fleet.strikes import Strike


def _praise(record: Record, _seal: str = "") -> feedback.Feedback:
    return feedback.success(record.action_id, "all is well")


@pytest.mark.parametrize("name", ["sick", "dead", "refused"])
def test_a_success_that_is_none_is_seen(name: str, server: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "last_word", _praise)
    path = next(path for path in PATHS if path.name == name)
    tally = Tally(name)
    Bench(server.management, server.url, path, server.directory).play(tally, Strike())
    assert any("FINISHED" in each for each in tally.violations)
    assert any("success was said while 1.0.0 ran" in each for each in tally.violations)
    assert any("believes that 1.1.0 is installed" in each for each in tally.violations)

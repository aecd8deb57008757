"""Starting a process costs more than most of what it is asked: the one that hears of an update brings it, too."""

from __future__ import annotations

from typing import Any

import pytest

from agent.daemon.machine import State
from fleet import device
from fleet.between import NotedChild
from fleet.kills import Bench, Tally
from fleet.paths import PATHS
from fleet.server import Place
from fleet.strikes import Strike


def test_the_fetcher_that_hears_of_an_update_brings_it(server: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[str, State]] = []

    class Counted(NotedChild):
        def __init__(self, kind: str, *rest: Any) -> None:
            started.append((kind, device._here.device.state))
            super().__init__(kind, *rest)

    monkeypatch.setattr(device, "NotedChild", Counted)
    good = next(path for path in PATHS if path.name == "good")
    tally = Tally(good.name)
    Bench(server.management, server.url, good, server.directory).play(tally, Strike())
    assert tally.violations == []
    until_written = started[: started.index(("fetcher", State.STAGED))]  # the server is asked once more
    assert [kind for kind, state in until_written if state is not State.IDLE] == ["installer"]

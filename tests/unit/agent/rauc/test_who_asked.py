"""The agent sees the facade as the caller of everything: who it was stands in the facade's own journal."""

from __future__ import annotations

import pytest

from agent.bus.calls import Bus
from agent.bus.serve import Call, Later
from agent.rauc.service import Facade


@pytest.mark.req("C09")
@pytest.mark.parametrize(
    ("method", "values"), [("InstallBundle", ("/x", {})), ("Install", ("/x",)), ("Mark", ("good", "booted"))]
)
def test_the_journal_says_who_has_changed_something(
    method: str, values: tuple[object, ...], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    assert isinstance(Facade(Bus("none")).call(Call("Installer", method, values, ":1.5", 1000)), Later)
    assert caplog.messages == [f"user 1000 asks for {method}"]


def test_who_only_reads_fills_no_journal(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    Facade(Bus("none")).call(Call("Installer", "GetPrimary", (), ":1.5"))
    assert caplog.messages == []

"""What the end of an update leaves in the state directory."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
from support.pretend import Disk, Environment, Office, context

from agent.daemon.activities.report import reporting
from agent.daemon.machine import Event
from agent.daemon.record import Reason, Record

FAILED = Record(
    origin="server", action_id="7", version="2", outcome="failure", reason=Reason("storage.write-failed", "no room")
)


def reported(directory: Path, record: Record = FAILED) -> Office:
    here = context(Disk(), Environment())
    here.config.system.state_dir = directory  # type: ignore[misc]  # not frozen in tests
    assert reporting(here, record).event is Event.DONE
    return cast("Office", here.server)


def test_kept_bundles_are_removed(tmp_path: Path) -> None:
    for name in ("spool-a.raucb", "spool-b.part"):
        (tmp_path / name).touch()
    assert len(reported(tmp_path).said) == 1
    assert list(tmp_path.iterdir()) == []


def test_of_downloads_only_the_last_one_is_kept(tmp_path: Path) -> None:
    old, new = "a" * 64, "b" * 64
    for name in (f"spool-{old[:32]}.raucb", f"spool-{new[:32]}.raucb", f"spool-{old[:32]}.part"):
        (tmp_path / name).touch()
    reported(tmp_path, Record(origin="server", action_id="8", sha256=new, version="2", outcome="downloaded"))
    assert [path.name for path in tmp_path.iterdir()] == [f"spool-{new[:32]}.raucb"]


def test_what_cannot_be_removed_does_not_keep_the_end_from_being_told(tmp_path: Path) -> None:
    (tmp_path / "spool-a.raucb").mkdir()
    (tmp_path / "spool-b.raucb").touch()
    assert len(reported(tmp_path).said) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["spool-a.raucb"]


@pytest.mark.parametrize("origin", ["local", "media"])
def test_after_weeks_without_a_server_it_hears_of_the_last_update_and_of_one_of_its_own_alone(
    origin: str, tmp_path: Path
) -> None:
    here = context(Disk(), Environment())
    here.config.system.state_dir = tmp_path  # type: ignore[misc]  # not frozen in tests
    here.config.server.report_installed = "board"  # type: ignore[misc]  # as above
    for version, way in (("2", origin), ("3", origin), ("4", "server")):
        reporting(here, Record(origin=way, version=version, outcome="success", target="B"))
    reporting(here, Record(origin=origin, version="5", outcome="failure", target="B"))
    office = cast("Office", here.server)
    assert office.told_installed == [("board", "2"), ("board", "3"), ("", "4")]
    assert [message.action_id for message in office.said] == [], "there was no action"

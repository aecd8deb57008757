"""Commands whose daemon is in this process, so that a test says what it is doing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.asked import Asked
from support.bus import main_loop, private_bus

from agent.audit.port import Unrecorded
from agent.cli.main import main
from agent.daemon.dbus_service import BusService


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with private_bus(tmp_path_factory.mktemp("bus")) as address, main_loop():
        yield address


@pytest.fixture
def asked(address: str) -> Iterator[Asked]:
    asked = Asked()
    service = BusService(address, asked, asked, Unrecorded(), {"LastScrub": (1, "running", [])})
    service.start()
    yield asked
    service.stop()


def test_a_scrub_under_way_is_cancelled_as_well(asked: Asked, address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cancel", "--bus", address]) == 0
    assert asked.asked == [("cancel",)]
    capsys.readouterr()


def test_a_bundle_is_installed_whatever_bytes_its_name_has(
    asked: Asked, address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = os.path.join(os.fsencode(tmp_path), b"m\xfcll.raucb")
    Path(os.fsdecode(path)).write_text("a bundle")
    assert main(["install", os.fsdecode(path), "--bus", address]) == 0
    assert asked.asked == [("install_file", "a bundle", "m?ll.raucb", {})]
    capsys.readouterr()

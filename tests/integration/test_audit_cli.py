"""``ota-agent audit``: read by root from the files, by others over a real bus, and verified anywhere."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from support.audit import filled, opened
from support.bus import private_bus, served

from agent.cli.main import main

COUNT = 12


@pytest.fixture
def device(tmp_path: Path) -> tuple[Path, list[str]]:
    """The records of a device, and the option that names its configuration."""
    filled(tmp_path / "state" / "audit", COUNT - 1, segments=64).note("fallback", "boot.fallback", slot="B")
    config = tmp_path / "ota-agent.toml"
    config.write_text(f'[system]\ncompatible = "x"\nstate-dir = "{tmp_path}/state"\n')
    return tmp_path / "state" / "audit", ["--config", str(config)]


@pytest.fixture(autouse=True)
def made(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()


def test_records_are_shown_to_people_and_to_programs(
    device: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    _, config = device
    assert main(["audit", "show", *config]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["1", "2027-01-15", "08:00:10", "confirmed", "version", "1", "number=1"]
    assert len(lines) == COUNT
    assert main(["audit", "show", "--event", "fallback", "--json", *config]) == 0
    (record,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (record["seq"], record["data"]) == (COUNT, {"slot": "B"})


@pytest.mark.parametrize(
    ("since", "count"), [("2027-01-15", COUNT), ("2027-01-15T09:00+01:00", COUNT), ("2028-01-01", 0)]
)
def test_only_what_is_new_is_shown(
    device: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str], since: str, count: int
) -> None:
    assert main(["audit", "show", "--since", since, *device[1]]) == 0
    assert len(capsys.readouterr().out.split("\n")) - 1 == count


def test_what_is_no_date_is_wrong_usage(device: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "show", "--since", "yesterday", *device[1]]) == 2
    assert "[config.since]" in capsys.readouterr().err


@pytest.mark.req("C16", "N06")
def test_a_log_is_verified_and_the_first_record_that_is_not_in_order_is_named(
    device: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    directory, config = device
    assert main(["audit", "verify", *config]) == 0
    assert capsys.readouterr().out == f"in order: records 1 to {COUNT}, head {opened(directory).head.hex()}\n"
    first = directory / "000000000001.jsonl"
    first.write_bytes(first.read_bytes().replace(b"version 2", b"version 3"))
    assert main(["audit", "verify", *config]) == 1
    assert "from number 2 on [audit.damaged]" in capsys.readouterr().err
    assert main(["audit", "verify", "--json", *config]) == 1
    assert json.loads(capsys.readouterr().out)["first_bad"] == 2
    assert main(["audit", "show", *config]) == 1
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 1 and "[audit.damaged]" in shown.err


@pytest.mark.req("C16")
def test_an_export_is_verified_without_the_device(
    device: tuple[Path, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, config = device
    file = tmp_path / "audit.jsonl"
    assert main(["audit", "export", str(file), *config]) == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert main(["audit", "verify", str(file)]) == 0
    assert main(["audit", "export", str(file), *config]) == 1, "nothing is overwritten"
    assert "[audit.export]" in capsys.readouterr().err
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:-2]))
    assert main(["audit", "verify", str(file)]) == 1
    assert f"from number {COUNT} on" in capsys.readouterr().err


def test_of_an_export_that_fails_nothing_is_left(
    device: tuple[Path, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, file = tmp_path / "none.toml", tmp_path / "audit.jsonl"
    assert main(["audit", "export", str(file), "--config", str(config)]) != 0
    assert not file.exists()
    assert main(["audit", "export", str(file), *device[1]]) == 0, "so that it can be repeated"
    capsys.readouterr()


def test_an_export_is_for_its_owner_from_the_first_moment(
    device: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "chmod", lambda *_, **__: None)
    old = os.umask(0)
    try:
        assert main(["audit", "export", str(tmp_path / "audit.jsonl"), *device[1]]) == 0
    finally:
        os.umask(old)
    assert (tmp_path / "audit.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_device_without_records_is_in_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "ota-agent.toml"
    config.write_text(f'[system]\nstate-dir = "{tmp_path}/state"\n')
    assert main(["audit", "verify", "--config", str(config)]) == 0
    assert capsys.readouterr().out == "in order: there are no records\n"


def test_others_than_root_ask_the_daemon(
    device: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTA_TEST_AUDIT", str(device[0]))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    (tmp_path / "bus").mkdir()
    with private_bus(tmp_path / "bus") as address, served(address):
        assert main(["audit", "verify", "--json", "--bus", address]) == 0
        told = json.loads(capsys.readouterr().out)
    log = opened(device[0])
    assert told == {"ok": True, "first": 1, "last": log.count, "head": log.head.hex()}
    assert log.count >= COUNT

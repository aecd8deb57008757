"""Copying without reading, and files that appear only when they are complete."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest

from agent.bundler.ending import copy_start, unfinished
from agent.errors import OtaError


def copied(source: Path, size: int, out: Path) -> list[tuple[str, int, int]]:
    told: list[tuple[str, int, int]] = []
    with source.open("rb") as file:
        copy_start(file.fileno(), size, out, lambda *step: told.append(step))
    return told


@pytest.mark.parametrize("by_reference", [True, False])
def test_the_start_of_a_file_is_copied_exactly(
    by_reference: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not by_reference:

        def cannot(*_arguments: object) -> int:
            raise OSError(18, "Invalid cross-device link")

        monkeypatch.setattr(os, "copy_file_range", cannot)
    data = os.urandom(3_000_001)
    (tmp_path / "in").write_bytes(data)
    told = copied(tmp_path / "in", 2_999_999, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == data[:2_999_999]
    assert told[-1] == ("copying the payload", 2_999_999, 2_999_999)


def test_from_another_file_system_it_is_copied_too(tmp_path: Path) -> None:
    source = Path("/dev/shm") / f"ota-copy-{os.getpid()}"
    assert source.parent.stat().st_dev != tmp_path.stat().st_dev
    source.write_bytes(b"x" * 100_000)
    try:
        copied(source, 100_000, tmp_path / "out")
    finally:
        source.unlink()
    assert (tmp_path / "out").read_bytes() == b"x" * 100_000


def test_a_large_payload_never_passes_through_memory(tmp_path: Path) -> None:
    with (tmp_path / "in").open("wb") as file:
        file.truncate(300_000_000)
    tracemalloc.start()
    copied(tmp_path / "in", 300_000_000, tmp_path / "out")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000
    assert (tmp_path / "out").stat().st_size == 300_000_000


@pytest.mark.parametrize("by_reference", [True, False])
def test_a_source_that_becomes_shorter_is_noticed(
    by_reference: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not by_reference:
        monkeypatch.setattr(os, "copy_file_range", lambda *_arguments: 0)
    (tmp_path / "in").write_bytes(b"short")
    with pytest.raises(OSError, match="became shorter"):
        copied(tmp_path / "in", 100, tmp_path / "out")


def fails_halfway(target: Path) -> None:
    with unfinished(target) as path:
        path.write_text("half")
        raise RuntimeError("stopped")


def meets_another(target: Path) -> None:
    with unfinished(target) as path:
        path.write_text("mine")
        target.write_text("theirs")


def test_nothing_appears_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        fails_halfway(tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_appeared_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(OtaError) as caught:
        meets_another(tmp_path / "x")
    assert caught.value.code == "build.exists"
    assert (tmp_path / "x").read_text() == "theirs"

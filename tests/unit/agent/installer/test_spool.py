"""A plain bundle from a server is kept whole, goes on after an interruption, and never trusts what was not synced."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.bundle.source import RemoteSource
from agent.errors import BundleError, EnvironmentFault, OtaError
from agent.installer.spool import PLAIN_LIMIT, spool
from agent.wire import pair

MIB = 1024 * 1024
CONTENT = os.urandom(20 * MIB + 123)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@contextmanager
def remote(content: bytes = CONTENT, *, size: int = 0) -> Iterator[tuple[RemoteSource, list[int]]]:
    """A fetcher in a thread; also the list of offsets that were asked for."""
    near, far = pair("installer", "fetcher")
    asked: list[int] = []

    def serve() -> None:
        while (frame := far.recv()) is not None:
            offset, length = frame.number("offset"), frame.number("length")
            asked.append(offset)
            for start in range(offset, offset + length, MIB):
                far.send({"op": "data", "offset": start}, content[start : min(start + MIB, offset + length)])

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield RemoteSource(near, size or len(content)), asked
    finally:
        near.close()
        thread.join()
        far.close()


def fetch(path: Path, sha256: str = SHA256, content: bytes = CONTENT) -> list[int]:
    with remote(content) as (source, asked):
        kept = spool(source, path, sha256, lambda _done, _total: None)
        assert kept.read_at(0, kept.size) == CONTENT
        return asked


def test_the_whole_bundle_is_kept_in_a_file(tmp_path: Path) -> None:
    assert fetch(tmp_path / "spool-a.raucb") == [0]
    assert (tmp_path / "spool-a.raucb").read_bytes() == CONTENT


def test_a_kept_bundle_is_not_fetched_again(tmp_path: Path) -> None:
    fetch(tmp_path / "spool-a.raucb")
    assert fetch(tmp_path / "spool-a.raucb") == []


@pytest.mark.req("S09")
def test_an_interrupted_transfer_goes_on_where_the_medium_surely_was(tmp_path: Path) -> None:
    (tmp_path / "spool-a.part").write_bytes(CONTENT[: 17 * MIB])
    assert fetch(tmp_path / "spool-a.raucb") == [8 * MIB]


@pytest.mark.req("S08")
def test_bytes_that_a_power_cut_turned_to_zero_are_fetched_again(tmp_path: Path) -> None:
    (tmp_path / "spool-a.part").write_bytes(CONTENT[: 9 * MIB] + bytes(8 * MIB))
    fetch(tmp_path / "spool-a.raucb")


def refusal(path: Path, content: bytes, sha256: str) -> OtaError:
    with remote(content) as (source, _), pytest.raises(BundleError) as caught:
        spool(source, path, sha256, lambda _done, _total: None)
    return caught.value


def test_another_file_than_the_announced_one_is_refused(tmp_path: Path) -> None:
    error = refusal(tmp_path / "spool-a.raucb", CONTENT[::-1], SHA256)
    assert (error.code, error.retryable) == ("bundle.hash-mismatch", False)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_beginning_of_an_earlier_attempt_costs_one_more_try(tmp_path: Path) -> None:
    (tmp_path / "spool-a.part").write_bytes(bytes(17 * MIB))
    error = refusal(tmp_path / "spool-a.raucb", CONTENT, SHA256)
    assert (error.code, error.retryable) == ("bundle.hash-mismatch", True)
    assert fetch(tmp_path / "spool-a.raucb") == [0]


@pytest.mark.req("T16")
def test_the_size_is_checked_before_anything_is_fetched(tmp_path: Path) -> None:
    with remote(size=PLAIN_LIMIT + 1) as (source, asked), pytest.raises(BundleError) as caught:
        spool(source, tmp_path / "spool-a.raucb", "", lambda _done, _total: None)
    assert (caught.value.code, asked) == ("bundle.too-large", [])


@pytest.mark.req("C13")
def test_a_full_disk_is_told_before_anything_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.installer.spool._free", lambda _: 30 * MIB)
    with remote() as (source, asked), pytest.raises(EnvironmentFault) as caught:
        spool(source, tmp_path / "spool-a.raucb", SHA256, lambda _done, _total: None)
    assert (caught.value.code, caught.value.retryable, asked) == ("storage.no-space", False, [])


def test_a_link_planted_in_the_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "spool-a.part").symlink_to(tmp_path / "victim")
    with remote() as (source, _), pytest.raises(EnvironmentFault, match="symbolic") as caught:
        spool(source, tmp_path / "spool-a.raucb", SHA256, lambda _done, _total: None)
    assert caught.value.code == "storage.write-failed"
    assert not (tmp_path / "victim").exists()


@pytest.mark.parametrize("name", ["spool-a.part", "spool-a.raucb"])
def test_a_place_that_cannot_be_written_to_is_a_problem_of_the_storage(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with remote() as (source, asked), pytest.raises(EnvironmentFault) as caught:
        spool(source, tmp_path / "spool-a.raucb", SHA256, lambda _done, _total: None)
    assert (caught.value.code, asked) == ("storage.write-failed", [])

"""A plain bundle from a server is kept whole, goes on after an interruption, and never trusts what was not synced."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from agent.bundle.source import RemoteSource
from agent.errors import BundleError, EnvironmentFault, OtaError
from agent.installer.spool import PLAIN_LIMIT, spool
from agent.wire import WireError, pair

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
        whole(source, path, sha256)
        return asked


def whole(source: RemoteSource, path: Path, sha256: str = SHA256) -> None:
    with spool(source, path, sha256, lambda _done, _total: None) as kept:
        assert kept.read_at(0, kept.size) == CONTENT


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
        whole(source, path, sha256)
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
        whole(source, tmp_path / "spool-a.raucb", "")
    assert (caught.value.code, asked) == ("bundle.too-large", [])


@pytest.mark.req("C13")
def test_a_full_disk_is_told_before_anything_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.installer.spool._free", lambda _: 30 * MIB)
    with remote() as (source, asked), pytest.raises(EnvironmentFault) as caught:
        whole(source, tmp_path / "spool-a.raucb", SHA256)
    assert (caught.value.code, caught.value.retryable, asked) == ("storage.no-space", False, [])


def test_a_link_planted_in_the_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "spool-a.part").symlink_to(tmp_path / "victim")
    with remote() as (source, _), pytest.raises(EnvironmentFault, match="symbolic") as caught:
        whole(source, tmp_path / "spool-a.raucb", SHA256)
    assert caught.value.code == "storage.write-failed"
    assert not (tmp_path / "victim").exists()


@pytest.mark.parametrize("name", ["spool-a.part", "spool-a.raucb"])
def test_a_place_that_cannot_be_written_to_is_a_problem_of_the_storage(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with remote() as (source, asked), pytest.raises(EnvironmentFault) as caught:
        whole(source, tmp_path / "spool-a.raucb", SHA256)
    assert (caught.value.code, asked) == ("storage.write-failed", [])


@contextmanager
def halting(content: bytes, after: int) -> Iterator[tuple[RemoteSource, threading.Event]]:
    """A fetcher that stops after some bytes until the event."""
    near, far = pair("installer", "fetcher")
    more = threading.Event()

    def serve() -> None:
        frame = far.recv()
        assert frame is not None
        assert (frame.number("offset"), frame.number("length")) == (0, len(content))
        for start in range(0, len(content), MIB):
            if start == after:
                more.wait()
            with suppress(WireError):
                far.send({"op": "data", "offset": start}, content[start : start + MIB])
        with suppress(WireError):
            far.recv()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield RemoteSource(near, len(content)), more
    finally:
        more.set()
        near.close()
        thread.join()
        far.close()


def test_what_has_come_can_be_read_while_the_rest_is_still_fetched(tmp_path: Path) -> None:
    with (
        halting(CONTENT, 2 * MIB) as (source, more),
        spool(source, tmp_path / "spool-a.raucb", SHA256, lambda _done, _total: None) as kept,
    ):
        assert kept.read_at(MIB, MIB) == CONTENT[MIB : 2 * MIB]
        more.set()
        assert b"".join(kept.stream(0, len(CONTENT))) == CONTENT


@pytest.mark.req("T16")
def test_the_end_cannot_be_read_before_the_whole_is_the_announced_one(tmp_path: Path) -> None:
    wrong = CONTENT[:-1] + bytes((CONTENT[-1] ^ 1,))
    path = tmp_path / "spool-a.raucb"
    with remote(wrong) as (source, _), spool(source, path, SHA256, lambda _done, _total: None, MIB) as kept:
        with pytest.raises(BundleError) as caught:
            kept.read_at(0, len(wrong) - MIB + 1)
        assert caught.value.code == "bundle.hash-mismatch"
        assert list(tmp_path.iterdir()) == []


def test_a_transfer_that_nobody_waits_for_any_more_is_ended(tmp_path: Path) -> None:
    path = tmp_path / "spool-a.raucb"
    with halting(CONTENT, 2 * MIB) as (source, _):
        with spool(source, path, SHA256, lambda _done, _total: None) as kept:
            kept.read_at(0, MIB)
        with pytest.raises(WireError):
            kept.read_at(0, len(CONTENT))
    assert not path.exists()


@pytest.mark.req("S08")
def test_what_the_medium_did_not_take_is_no_kept_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", broken)
    path = tmp_path / "spool-a.raucb"
    with halting(CONTENT, -1) as (source, _), spool(source, path, SHA256, lambda _done, _total: None) as kept:
        with pytest.raises(EnvironmentFault) as caught:
            kept.read_at(0, kept.size)
        assert caught.value.code == "storage.write-failed"
    assert not path.exists()

"""The fetcher process reads a file from the development server through all kinds of trouble."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.server import DEVICE, Fetcher, Running, error_of, random_file, running_fetcher, running_server

from agent.demo.server_faults import Fault
from agent.errors import RemoteError

SIZE = 3_000_000


class Stage:
    """A server with one file on offer, and a fetcher that serves it."""

    def __init__(self, running: Running, fetcher: Fetcher, path: Path) -> None:
        self.running, self.fetcher, self.path = running, fetcher, path
        self.data = random_file(path, SIZE)
        self.action, self.url = running.offer(path)
        self.faults = running.server.faults

    def open(self, size: int = SIZE, **terms: float) -> None:
        assert self.fetcher.ask(self.running.session(**terms)).op == "ok"
        self.source = self.fetcher.serve(self.url, size)

    def refusal(self, offset: int = 0, length: int = SIZE) -> RemoteError:
        with pytest.raises(RemoteError) as caught:
            self.source.read_at(offset, length)
        return caught.value

    def end(self) -> dict[str, object]:
        self.fetcher.source_channel.close()
        return dict(self.fetcher.answer().header)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with running_server(tmp_path) as running, running_fetcher() as fetcher:
        yield Stage(running, fetcher, tmp_path / "b.raucb")


@pytest.mark.req("S09", "C10")
def test_a_file_arrives_whole_and_in_parts_over_one_connection(stage: Stage) -> None:
    stage.open()
    assert stage.source.read_at(SIZE - 8, 8) == stage.data[-8:]
    assert b"".join(stage.source.stream(0, SIZE)) == stage.data
    assert stage.source.read_at(1_000_000, 70_000) == stage.data[1_000_000:1_070_000]
    assert stage.end() == {"op": "served", "bytes": SIZE + 8 + 70_000, "retries": 0}
    ranges = [seen.headers["range"] for seen in stage.running.server.requests("/artifacts/")]
    assert ranges == [f"bytes={SIZE - 8}-{SIZE - 1}", f"bytes=0-{SIZE - 1}", "bytes=1000000-1069999"]
    assert "DOWNLOAD" not in [entry.type for entry in stage.running.server.history(stage.action)]


@pytest.mark.req("S09")
@pytest.mark.parametrize("reset", [False, True])
def test_after_three_drops_the_bytes_are_the_same(stage: Stage, reset: bool) -> None:
    for after in (1, 700_001, 300_000):
        stage.faults.drop(after, reset=reset)
    stage.open()
    assert stage.source.read_at(0, SIZE) == stage.data
    end = stage.end()
    assert (end["op"], end["bytes"], end["retries"]) == ("served", SIZE, 3)
    seen = stage.running.server.requests("/artifacts/")
    assert seen[1].headers["if-range"].startswith('"')
    if not reset:
        assert seen[1].headers["range"] == f"bytes=1-{SIZE - 1}"
        assert seen[2].headers["range"] == f"bytes=700002-{SIZE - 1}"


@pytest.mark.req("S09")
def test_a_server_that_is_busy_is_asked_again_when_it_says(stage: Stage) -> None:
    stage.faults.respond(503, times=1, path="/artifacts/", headers={"Retry-After": "1"})
    stage.faults.respond(429, times=1, path="/artifacts/")
    stage.open()
    began = time.monotonic()
    assert stage.source.read_at(0, 1000) == stage.data[:1000]
    assert time.monotonic() - began >= 1
    assert stage.end()["retries"] == 2


def test_a_server_that_wants_an_hour_is_left_alone(stage: Stage) -> None:
    stage.faults.respond(503, times=9, path="/artifacts/", headers={"Retry-After": "3600"})
    stage.open()
    error = stage.refusal()
    assert (error.code, error.retryable) == ("net.http-status", True)
    assert "503" in error.details
    assert stage.faults.left == 8


@pytest.mark.slow
@pytest.mark.req("S09")
def test_attempts_without_progress_end_after_five(stage: Stage) -> None:
    stage.faults.drop(0, times=100)
    stage.open()
    error = stage.refusal()
    assert (error.code, error.retryable) == ("net.short-body", True)
    assert stage.faults.left == 95
    assert stage.end()["op"] == "error"


def test_a_reader_may_try_again_after_an_error(stage: Stage) -> None:
    stage.faults.respond(404, path="/artifacts/")
    stage.open()
    assert stage.refusal().code == "net.not-found"
    assert stage.faults.left == 0
    assert stage.source.read_at(0, 10) == stage.data[:10]
    assert stage.end()["op"] == "served"


@pytest.mark.req("S09")
def test_a_cancelled_action_ends_the_download_at_once(stage: Stage) -> None:
    stage.open()
    assert stage.source.read_at(0, 10) == stage.data[:10]
    stage.running.server.cancel(stage.action)
    assert stage.refusal(10, 10).code == "net.not-found"


@pytest.mark.req("S09")
def test_another_file_behind_the_address_is_noticed_before_a_byte_of_it_is_passed_on(stage: Stage) -> None:
    stage.faults.drop(1000)
    stage.faults.add(Fault(etag="another"))
    stage.open()
    stage.fetcher.source_channel.send({"op": "read", "offset": 0, "length": SIZE})
    got = 0
    while (frame := stage.fetcher.source_channel.recv(20)) is not None and frame.op == "data":
        got += len(frame.body)
    assert frame is not None
    assert error_of(frame)["code"] == "net.changed"
    assert got == 1000


@pytest.mark.req("T16")
@pytest.mark.parametrize("delta", [-1, 1])
def test_a_file_of_another_length_than_announced_is_refused(stage: Stage, delta: int) -> None:
    stage.open(SIZE + delta)
    assert stage.refusal(0, 10).code == "net.wrong-length"
    assert stage.end()["bytes"] == 0


def test_a_server_that_lies_about_the_length_is_refused(stage: Stage) -> None:
    stage.faults.add(Fault(size_delta=5))
    stage.open()
    assert stage.refusal().code == "net.wrong-length"


@pytest.mark.req("T16")
def test_an_endless_body_stops_at_the_announced_size(stage: Stage) -> None:
    stage.faults.add(Fault(endless=True, ignore_range=True, times=2))
    stage.open()
    assert stage.source.read_at(0, SIZE) == stage.data
    assert stage.source.read_at(0, 4096) == stage.data[:4096]
    assert stage.end()["bytes"] == SIZE + 4096


def test_a_server_without_ranges_is_good_for_the_beginning_only(stage: Stage) -> None:
    stage.faults.add(Fault(ignore_range=True, times=2))
    stage.open()
    assert stage.source.read_at(0, SIZE) == stage.data
    error = stage.refusal(SIZE - 8, 8)
    assert (error.code, error.retryable) == ("net.range-unsupported", False)


def test_a_wrong_token_is_reported_as_such(stage: Stage) -> None:
    stage.running.server.target(DEVICE).token = "another"
    stage.open()
    assert stage.refusal().code == "net.unauthorised"


@pytest.mark.req("S09")
def test_a_portal_that_answers_for_the_server_is_no_bundle(stage: Stage) -> None:
    stage.faults.respond(200, path="/artifacts/", headers={"Content-Type": "text/html"}, body=b"<html>pay</html>")
    stage.open()
    assert stage.refusal().code == "net.wrong-length"


@pytest.mark.slow
@pytest.mark.req("T22")
def test_a_drip_is_given_up(stage: Stage) -> None:
    stage.faults.throttle(500)
    stage.open(slow_time=0.4, slow_rate=10_000)
    assert stage.refusal().code == "net.too-slow"
    assert len(stage.running.server.requests("/artifacts/")) <= 5


@pytest.mark.slow
@pytest.mark.req("T22")
def test_a_silent_server_is_given_up(stage: Stage) -> None:
    stage.faults.add(Fault(stall_after=1000, times=99))
    stage.faults.add(Fault(delay=60, times=99))
    stage.open(read_timeout=0.3)
    began = time.monotonic()
    stage.fetcher.source_channel.send({"op": "read", "offset": SIZE - 500, "length": 500})
    frame = stage.fetcher.source_channel.recv(20)
    assert frame is not None
    assert frame.op == "data"
    assert stage.refusal(0, SIZE).code == "net.timeout"
    assert time.monotonic() - began < 40


def test_a_slow_reader_is_not_a_slow_server(stage: Stage) -> None:
    stage.open(slow_time=0.3, slow_rate=1_000_000)
    got = bytearray()
    for piece in stage.source.stream(0, SIZE):
        got += piece
        time.sleep(0.1)
    assert got == stage.data
    assert stage.end()["retries"] == 0


def test_a_wrong_content_of_the_right_length_is_passed_on_for_the_installer_to_judge(stage: Stage) -> None:
    stage.faults.corrupt(1_500_000)
    stage.open()
    got = stage.source.read_at(0, SIZE)
    assert [n for n in range(SIZE) if got[n] != stage.data[n]] == [1_500_000]


def test_what_a_reader_must_not_ask_is_refused(stage: Stage) -> None:
    stage.open()
    channel = stage.fetcher.source_channel
    for message in (
        {"op": "write", "offset": 0, "length": 1},
        {"op": "read", "offset": SIZE, "length": 1},
        {"op": "read", "offset": 0, "length": 0},
        {"op": "read", "offset": -1, "length": 5},
        {"op": "read"},
    ):
        channel.send(message)
        frame = channel.recv(20)
        assert frame is not None
        assert error_of(frame)["code"] == "ipc.protocol"
    assert stage.source.read_at(0, 5) == stage.data[:5]

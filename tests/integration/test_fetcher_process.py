"""The fetcher as a process: unprivileged, quiet, and gone when nobody needs it."""

from __future__ import annotations

import contextlib
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from support.server import TOKEN, Fetcher, error_of, random_file, running_fetcher, running_server

from agent.demo.server_faults import Fault


def status_of(fetcher: Fetcher) -> dict[str, str]:
    lines = Path(f"/proc/{fetcher.process.pid}/status").read_text().splitlines()
    return {name: " ".join(value.split()) for name, _, value in (line.partition(":") for line in lines)}


@pytest.mark.req("C10")
@pytest.mark.root
def test_it_runs_as_nobody_without_capabilities_and_still_works(tmp_path: Path) -> None:
    with running_server(tmp_path) as running, running_fetcher() as fetcher:
        assert fetcher.ask(running.session(user="nobody")).op == "ok"
        status = status_of(fetcher)
        assert status["Uid"] == status["Gid"] == "65534 65534 65534 65534"
        assert status["Groups"] == ""
        assert {status[name] for name in ("CapPrm", "CapEff", "CapAmb")} == {"0" * 16}
        assert status["NoNewPrivs"] == "1"
        limits = Path(f"/proc/{fetcher.process.pid}/limits").read_text()
        assert next(line for line in limits.splitlines() if "core file" in line).split()[4:6] == ["0", "0"]
        assert fetcher.get(running.server.controller_url("dev1")).header["status"] == 200
        assert fetcher.get(running.server.url.replace("127.0.0.1", "localhost")).op == "response"


def test_an_unknown_user_ends_in_an_explained_error_and_not_in_working_as_root(tmp_path: Path) -> None:
    with running_server(tmp_path) as running, running_fetcher() as fetcher:
        assert error_of(fetcher.ask(running.session(user="no-such-user")))["code"] == "net.user-unknown"
        assert error_of(fetcher.get(running.server.url))["code"] == "ipc.protocol"
        assert running.server.requests() == []


@pytest.mark.parametrize("busy", [False, True])
def test_when_the_daemon_goes_it_goes_at_once(tmp_path: Path, busy: bool) -> None:
    with running_server(tmp_path) as running:
        random_file(tmp_path / "b", 3_000_000)
        _, url = running.offer(tmp_path / "b")
        running.server.faults.add(Fault(stall_after=300_000, times=99))
        fetcher = Fetcher()
        assert fetcher.ask(running.session(read_timeout=60)).op == "ok"
        if busy:
            fetcher.serve(url, 3_000_000)
            fetcher.source_channel.send({"op": "read", "offset": 0, "length": 3_000_000})
            assert fetcher.source_channel.recv(10) is not None
        began = time.monotonic()
        assert fetcher.end() == (0, b"")
        assert time.monotonic() - began < 10


def test_a_reader_that_leaves_in_the_middle_is_a_normal_end(tmp_path: Path) -> None:
    with running_server(tmp_path) as running, running_fetcher() as fetcher:
        data = random_file(tmp_path / "b", 5_000_000)
        _, url = running.offer(tmp_path / "b")
        assert fetcher.ask(running.session()).op == "ok"
        source = fetcher.serve(url, len(data))
        next(iter(source.stream(0, len(data))))
        fetcher.source_channel.close()
        assert fetcher.answer(10).op == "served"
        assert fetcher.serve(url, len(data)).read_at(7, 7) == data[7:14]
        fetcher.source_channel.close()
        assert fetcher.answer(10).header == {"op": "served", "bytes": 7, "retries": 0}


def test_a_reader_that_leaves_during_a_pause_is_not_waited_for(tmp_path: Path) -> None:
    with running_server(tmp_path) as running, running_fetcher() as fetcher:
        random_file(tmp_path / "b", 1000)
        _, url = running.offer(tmp_path / "b")
        running.server.faults.respond(503, times=99, path="/artifacts/", headers={"Retry-After": "100"})
        assert fetcher.ask(running.session()).op == "ok"
        fetcher.serve(url, 1000)
        fetcher.source_channel.send({"op": "read", "offset": 0, "length": 5})
        deadline = time.monotonic() + 10
        while not running.server.requests("/artifacts/") and time.monotonic() < deadline:
            time.sleep(0.02)
        fetcher.source_channel.close()
        assert fetcher.answer(5).op == "served"


def test_a_transfer_may_wait_for_its_reader_as_long_as_it_takes(tmp_path: Path) -> None:
    with running_server(tmp_path) as running, running_fetcher() as fetcher:
        data = random_file(tmp_path / "b", 1000)
        _, url = running.offer(tmp_path / "b")
        assert fetcher.ask(running.session(read_timeout=0.2, slow_time=0.2)).op == "ok"
        source = fetcher.serve(url, 1000)
        time.sleep(0.6)
        assert source.read_at(0, 1000) == data
        fetcher.source_channel.close()
        assert fetcher.answer().header["retries"] == 0


@pytest.mark.req("C10")
@pytest.mark.parametrize(
    "message",
    [
        {},
        {"op": "unknown"},
        {"op": "request", "url": 5},
        {"op": "request", "url": "https://127.0.0.1/", "method": "TRACE"},
        {"op": "request", "url": "https://127.0.0.1/", "headers": {"Authorization": TOKEN}},
        {"op": "request", "url": "https://127.0.0.1/", "headers": {"Host": "x"}},
        {"op": "request", "url": "https://127.0.0.1/", "headers": {"X": 1}},
        {"op": "request", "url": "https://127.0.0.1/", "headers": "X"},
        {"op": "request", "url": "https://127.0.0.1/", "max_body": -1},
        {"op": "serve", "url": "https://127.0.0.1/", "size": 5},
        {"op": "session", "origin": "https://h", "auth": {"scheme": "TargetToken", "token": f"{TOKEN}\n"}},
    ],
)
def test_a_message_that_makes_no_sense_is_answered_without_quoting_it(message: dict[str, Any], tmp_path: Path) -> None:
    with running_server(tmp_path) as running, running_fetcher() as fetcher:
        assert fetcher.ask(running.session()).op == "ok"
        error = error_of(fetcher.ask(message))
        assert error["code"] == "ipc.protocol"
        assert TOKEN not in str(error)


def test_a_descriptor_that_is_no_socket_is_an_error_and_no_end(tmp_path: Path) -> None:
    with running_server(tmp_path) as running, running_fetcher() as fetcher, (tmp_path / "f").open("wb") as file:
        assert fetcher.ask(running.session()).op == "ok"
        fetcher.channel.send({"op": "serve", "url": running.server.url, "size": 1}, fds=[file.fileno()])
        assert fetcher.answer().op in ("error", "served")
        open_files = Path(f"/proc/{fetcher.process.pid}/fd")
        assert str(tmp_path / "f") not in [str(link.readlink()) for link in open_files.iterdir()]


def test_noise_on_the_channel_ends_it(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    fetcher = Fetcher()
    ours.close()
    theirs.close()
    raw = socket.socket(fileno=fetcher.channel._sock.detach())
    raw.sendall(b"\xff" * 64)
    raw.settimeout(20)
    with contextlib.suppress(ConnectionResetError):  # what it left unread turns its end into a reset
        assert raw.recv(100) == b""
    raw.close()
    assert fetcher.process.wait(10) in (0, 1)
    assert fetcher.process.communicate()[1] == b""

"""Promises towards the service manager, over real sockets."""

from __future__ import annotations

import os
import socket

import pytest

from agent.daemon.notify import notify, watchdog_interval


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path, monkeypatch):
    name = str(tmp_path / "notify") if request.param == "path" else f"\0ota-agent-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(name)
        sock.settimeout(2)
        monkeypatch.setenv("NOTIFY_SOCKET", name.replace("\0", "@"))
        yield sock


def test_the_manager_hears_what_is_said(manager):
    assert notify("READY=1\nSTATUS=idle") is True
    assert manager.recv(1000) == b"READY=1\nSTATUS=idle"


@pytest.mark.parametrize("address", ["", "relative", "/no/such/socket"])
def test_without_a_manager_nothing_happens(monkeypatch, address):
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    assert notify("READY=1") is False


@pytest.mark.parametrize(
    ("usec", "pid", "expected"),
    [
        ("60000000", None, 30.0),
        ("60000000", "1", None),
        ("0", None, None),
        ("x", None, None),
        (None, None, None),
        ("60000000", "ours", 30.0),
    ],
)
def test_the_watchdog_is_fed_twice_in_its_time(monkeypatch, usec, pid, expected):
    for name, value in (("WATCHDOG_USEC", usec), ("WATCHDOG_PID", pid)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, str(os.getpid()) if value == "ours" else value)
    assert watchdog_interval() == expected

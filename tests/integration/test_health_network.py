"""Health checks over the network: the real daemon's client, the real fetcher, a real server."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.bus import private_bus
from support.server import Running, running_server

from agent.bus.calls import Bus
from agent.daemon.children import Child, spawn
from agent.daemon.inbox import Inbox, Stopped
from agent.daemon.probing import Prober
from agent.demo.server_faults import Fault
from agent.health.bus_name import BusNameCheck
from agent.health.suite import Suite
from agent.health.tcp import TcpCheck
from agent.health.url import UrlCheck


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Running]:
    with running_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def prober(server, tmp_path) -> Iterator[Callable[..., Prober]]:
    made: list[Prober] = []

    def make(*, trusted: bool = True, patience: float = 6.0, inbox: Inbox | None = None, start: Any = spawn) -> Prober:
        ca_file = tmp_path / "ca.pem"
        ca_file.write_text(server.ca_pem)
        config = SimpleNamespace(
            health=SimpleNamespace(check_timeout=patience),
            server=SimpleNamespace(ca_file=ca_file if trusted else None),
            fetcher=SimpleNamespace(user="nobody" if os.geteuid() == 0 else ""),
        )
        made.append(Prober(start, config, (inbox or Inbox()).await_one))  # type: ignore[arg-type]  # same shape
        return made[-1]

    yield make
    for each in made:
        each.close()
    server.server.faults.clear()


def address(server: Running) -> tuple[str, int]:
    host, port = server.server.url.removeprefix("https://").split(":")
    return host, int(port)


@pytest.mark.req("C10")
def test_an_address_that_answers_is_green_and_gets_no_credentials(server, prober):
    server.server.faults.respond(200, path="/health")
    result = UrlCheck(f"{server.server.url}/health?key=secret", prober()).run()
    assert (result.ok, result.name) == (True, f"url {server.server.url}/health")
    (asked,) = [seen for seen in server.server.seen if seen.path.startswith("/health")]
    assert "authorization" not in {name.lower() for name in asked.headers}


def test_any_other_status_is_red(server, prober):
    server.server.faults.respond(503, path="/health", times=1)
    assert UrlCheck(f"{server.server.url}/health", prober()).run().text == "HTTP status 503"


@pytest.mark.req("T04")
def test_a_server_that_is_not_trusted_is_red(server, prober):
    assert "net.tls-untrusted" in UrlCheck(f"{server.server.url}/health", prober(trusted=False)).run().text


def test_a_port_that_listens_is_green_and_one_that_does_not_is_red(server, prober):
    host, port = address(server)
    asks = prober()
    assert TcpCheck(f"{host}:{port}", asks).run().ok
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        result = TcpCheck(f"127.0.0.1:{free.getsockname()[1]}", asks).run()
    assert "net.connect" in result.text
    assert "net.dns" in TcpCheck("no-such-host.invalid:80", asks).run().text
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as other:
        assert TcpCheck(f"[::1]:{other.getsockname()[1]}", asks).run().ok


def test_a_service_that_keeps_silent_is_red_in_time(server, prober):
    server.server.faults.add(Fault(path="/health", delay=20))
    assert "net.timeout" in UrlCheck(f"{server.server.url}/health", prober(patience=0.9)).run().text


@pytest.mark.req("S07")
def test_the_daemon_can_be_stopped_while_a_service_keeps_silent(server, prober):
    inbox = Inbox()
    server.server.faults.add(Fault(path="/health", delay=20))
    asks = prober(patience=60, inbox=inbox)
    inbox.stop()
    with pytest.raises(Stopped):
        asks.get(f"{server.server.url}/health")


def test_one_fetcher_answers_all_checks_of_a_round_and_is_gone_after_it(server, prober):
    children: list[Child] = []

    def start(kind: str) -> Child:
        children.append(spawn(kind))
        return children[-1]

    asks = prober(start=start)
    server.server.faults.respond(200, path="/health", times=2)
    checks = [UrlCheck(f"{server.server.url}/health", asks), TcpCheck("{}:{}".format(*address(server)), asks)]
    suite = Suite(checks, finish=asks.close)
    assert all(result.ok for result in suite.run_once())
    assert len(children) == 1
    assert not children[0].alive()
    assert all(result.ok for result in suite.run_once())
    assert len(children) == 2


def test_a_name_on_the_bus_needs_an_owner(tmp_path: Path):
    with private_bus(tmp_path) as address:
        bus = Bus(address)
        assert BusNameCheck("org.freedesktop.DBus", bus, 5).run().ok
        result = BusNameCheck("com.example.Gone", bus, 5).run()
        assert (result.ok, result.name, result.text) == (False, "dbus com.example.Gone", "nobody owns the name")
        bus.close()
    assert "cannot be asked" in BusNameCheck("com.example.Gone", Bus("none"), 5).run().text

"""The server as the daemon sees it: nothing said is lost, nothing is asked more often than allowed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from support.pretend import FULL, Clock, Disk

from agent.daemon.network import Response
from agent.daemon.server import Server
from agent.errors import EnvironmentFault, OtaError
from agent.hawkbit.feedback import failure, proceeding, success

BASE = "https://server/DEFAULT/controller/v1/dev"


class Wire:
    """A network whose answers a test chooses, by method and the end of the address."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], int] = {}
        self.sent: list[tuple[str, str, dict[str, Any]]] = []
        self.base: dict[str, Any] = {"config": {"polling": {"sleep": "00:10:00"}}, "_links": {}}
        self.down = False

    @contextmanager
    def conversation(self, *, keep: bool = False) -> Iterator[Wire]:
        if self.down:
            raise EnvironmentFault("net.connect", "no network")
        yield self

    def request(self, method: str, url: str, body: bytes = b"", headers: object = None) -> Response:
        self.sent.append((method, url.removeprefix(BASE), json.loads(body) if body else {}))
        status = next((code for (verb, end), code in self.answers.items() if verb == method and url.endswith(end)), 200)
        return Response(status, {}, json.dumps(self.base).encode() if method == "GET" else b"")


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def disk() -> Disk:
    return Disk()


def server(wire: Wire, disk: Disk, clock: Clock | None = None, **changes: Any) -> Server:
    changes = {"url": "https://server", "rebase_links": False, "confirmation": "ask", **changes}
    settings = SimpleNamespace(
        tenant="DEFAULT", controller_id="dev", poll_min=30.0, poll_max=86400.0,
        poll_first_delay=0.0, poll_splay=False, **changes,
    )  # fmt: skip
    return Server(settings, wire, disk, clock or Clock(), lambda: {"version": "1"})  # type: ignore[arg-type]  # same shape


@pytest.mark.req("S08")
def test_what_was_said_without_a_network_is_delivered_by_the_next_daemon(wire: Wire, disk: Disk) -> None:
    wire.down = True
    first = server(wire, disk)
    first.say(proceeding("7", "writing"))
    first.say(failure("7", "no"))
    assert first.deliver() is False
    wire.down = False
    assert server(wire, disk).deliver() is True
    assert [body["status"]["execution"] for _, _, body in wire.sent] == ["proceeding", "closed"]
    assert server(wire, disk).deliver() is True
    assert len(wire.sent) == 2


def test_a_poll_does_not_count_before_everything_said_has_arrived(wire: Wire, disk: Disk) -> None:
    asking = server(wire, disk)
    asking.say(success("7"))
    wire.answers["POST", "feedback"] = 503
    with pytest.raises(OtaError):
        asking.poll()
    assert [method for method, _, _ in wire.sent] == ["POST"]
    wire.answers.clear()
    asking.poll()
    assert [method for method, _, _ in wire.sent] == ["POST", "POST", "GET", "PUT"]


def test_an_answer_that_cannot_be_remembered_is_not_forgotten_either(wire: Wire, disk: Disk) -> None:
    asking = server(wire, disk)
    asking.say(success("7"))
    disk.full = True
    assert asking.deliver() is False
    with pytest.raises(EnvironmentFault) as caught:
        asking.say(success("8"))
    assert caught.value is FULL
    disk.full = False
    assert asking.deliver() is True


@pytest.mark.parametrize(("sleep", "wanted"), [("00:10:00", 30.0), ("00:00:01", 30.0), ("nonsense", 30.0)])
def test_a_running_update_asks_no_more_often_than_configured(wire: Wire, disk: Disk, sleep: str, wanted: float) -> None:
    wire.base["config"]["polling"]["sleep"] = sleep
    asking = server(wire, disk)
    asking.poll()
    assert asking.plan.watch_interval == wanted


def test_failed_polls_come_less_and_less_often_and_a_good_one_ends_that(wire: Wire, disk: Disk) -> None:
    clock = Clock()
    asking = server(wire, disk, clock)
    wire.down = True
    for _ in range(40):
        with pytest.raises(OtaError):
            asking.poll()
        assert 30 <= asking.plan.next_poll - clock.now <= 86400
    wire.down = False
    asking.poll()
    assert 540 <= asking.plan.next_poll - clock.now <= 660
    assert 540 <= asking.plan.poll_interval <= 660


def test_attributes_are_sent_when_they_change_and_when_they_are_wanted(wire: Wire, disk: Disk) -> None:
    asking = server(wire, disk)
    asking.poll()
    asking.poll()
    assert [method for method, _, _ in wire.sent] == ["GET", "PUT", "GET"]
    wire.base["_links"]["configData"] = {"href": f"{BASE}/configData"}
    asking.poll()
    assert [method for method, _, _ in wire.sent[3:]] == ["GET", "PUT"]


@pytest.mark.parametrize("link", ["http://10.0.0.7:8080/a/b?c=1", "https://inner/a/b?c=1", "/a/b?c=1"])
def test_links_are_led_back_to_the_configured_origin_only_when_that_is_asked_for(
    wire: Wire, disk: Disk, link: str
) -> None:
    assert (
        server(wire, disk, rebase_links=True, url="https://outer:8443/x").absolute(link) == "https://outer:8443/a/b?c=1"
    )
    as_it_is = link if "://" in link else f"https://server{link}"
    assert server(wire, disk).absolute(link) == as_it_is


def test_it_is_known_whether_a_success_still_waits(wire: Wire, disk: Disk) -> None:
    one = server(wire, disk)
    wire.down = True
    one.say(success("7"))
    one.say(failure("8"))
    assert (one.has_yet_to_hear("7"), one.has_yet_to_hear("8"), one.has_yet_to_hear("")) == (True, False, False)
    wire.down = False
    one.deliver()
    assert not one.has_yet_to_hear("7")

"""The server is told once to confirm by itself, and told once not to; nothing else waits for that."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pytest
from support.ddi_wire import BASE, Wire, server
from support.pretend import Clock, Disk

from agent.daemon.network import Response
from agent.errors import EnvironmentFault, OtaError

ON, OFF = "/elsewhere/on", "/elsewhere/off"


class Target(Wire):
    """A server with auto-confirmation; its links lead where nobody would have guessed.

    Attributes:
        initiator: who has switched it on; None while it is off.
        lost: the next answer to a POST does not arrive.
    """

    def __init__(self, initiator: str | None = None) -> None:
        super().__init__()
        self.initiator = initiator
        self.lost = False

    def request(self, method: str, url: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Response:
        active = self.initiator is not None
        told: dict[str, Any] = {"active": active, **({"initiator": self.initiator} if active else {})}
        link = (
            {"deactivateAutoConfirm": {"href": BASE + OFF}} if active else {"activateAutoConfirm": {"href": BASE + ON}}
        )
        self.documents["/confirmationBase"] = {"autoConfirm": told, "_links": link}
        answer = super().request(method, url, body, headers)
        if method == "POST" and answer.status == 200:
            self.initiator = self.sent[-1][2]["initiator"] if url.endswith(ON) else None
            self.base["_links"].pop("confirmationBase", None)
            if self.lost:
                self.lost = False
                raise EnvironmentFault("net.read", "the answer was lost")
        return answer

    @property
    def looks(self) -> int:
        """How often the target's confirmationBase was read."""
        return [path for _, path, _ in self.sent].count("/confirmationBase")

    @property
    def posts(self) -> list[str]:
        """Where something was posted to."""
        return [path for method, path, _ in self.sent if method == "POST"]


def polls(target: Target, disk: Disk, rule: str, count: int = 3) -> None:
    """A daemon starts and polls."""
    asking = server(target, disk, confirmation=rule)
    for _ in range(count):
        asking.poll()


def test_it_is_switched_on_once_by_the_link_of_the_server_however_often_the_daemon_starts() -> None:
    target, disk = Target(), Disk()
    polls(target, disk, "auto")
    polls(target, disk, "auto")
    assert (target.posts, target.looks, target.initiator) == ([ON], 1, "ota-agent")


@pytest.mark.parametrize("rule", ["ask", "confirm", "deny"])
def test_a_device_that_never_wanted_it_never_asks(rule: str) -> None:
    target = Target("owner")
    polls(target, Disk(), rule)
    assert (target.posts, target.looks) == ([], 0)


@pytest.mark.parametrize("rule", ["ask", "confirm", "deny"])
def test_it_is_switched_off_once_when_the_configuration_has_changed(rule: str) -> None:
    target, disk = Target(), Disk()
    polls(target, disk, "auto")
    polls(target, disk, rule)
    polls(target, disk, rule)
    assert (target.posts, target.looks, target.initiator) == ([ON, OFF], 2, None)
    polls(target, disk, "auto")
    assert target.posts == [ON, OFF, ON]


def test_what_somebody_else_has_switched_on_stays_on() -> None:
    target, disk = Target("owner"), Disk()
    polls(target, disk, "auto")
    polls(target, disk, "ask")
    polls(target, disk, "ask")
    assert (target.posts, target.looks, target.initiator) == ([], 2, "owner")


def test_whoever_switches_it_off_on_the_server_is_not_overruled() -> None:
    target, disk = Target(), Disk()
    polls(target, disk, "auto")
    target.initiator = None
    polls(target, disk, "auto")
    assert target.posts == [ON]


def test_what_waits_is_confirmed_by_it_and_asked_for_at_once() -> None:
    target, clock = Target(), Clock()
    target.link("confirmationBase", "confirmationBase/7")
    asking = server(target, Disk(), clock=clock, confirmation="auto")
    assert asking.poll().confirmation is None
    assert asking.plan.next_poll == clock.boottime()


@pytest.mark.parametrize("status", [401, 403, 409, 429, 500, 503])
@pytest.mark.parametrize("place", [("GET", "/confirmationBase"), ("POST", ON)])
def test_after_an_outage_it_is_done_and_polls_never_wait_for_it(place: tuple[str, str], status: int) -> None:
    target, disk = Target(), Disk()
    target.link("confirmationBase", "confirmationBase/7")
    target.answers[place] = status
    asking = server(target, disk, confirmation="auto")
    link = asking.poll().confirmation
    assert link is not None and link.action_id == "7", "until then each is confirmed on its own"
    del target.answers[place]
    asking.poll()
    assert target.initiator == "ota-agent"


def test_a_lost_answer_costs_one_more_look() -> None:
    target, disk = Target(), Disk()
    target.lost = True
    polls(target, disk, "auto")
    assert (target.posts, target.looks) == ([ON], 2)


def test_somebody_who_was_faster_is_found_by_the_next_look() -> None:
    target = Target()
    target.answers["POST", ON] = 409
    asking = server(target, Disk(), confirmation="auto")
    asking.poll()
    target.initiator = "owner"
    for _ in range(3):
        asking.poll()
    assert (target.posts, target.looks, target.initiator) == ([ON], 2, "owner")


@pytest.mark.parametrize(
    ("status", "place"), [(404, "/confirmationBase"), (405, "/confirmationBase"), (404, ON), (405, ON)]
)
def test_a_server_without_it_is_asked_and_logged_once(
    status: int, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    target = Target()
    target.answers["GET" if place != ON else "POST", place] = status
    polls(target, Disk(), "auto", 5)
    assert target.looks == 1
    assert [record.levelname for record in caplog.records if "auto-confirmation" in record.message] == ["WARNING"]


def test_a_server_that_answers_something_else_is_asked_once() -> None:
    wire = Wire()
    asking = server(wire, Disk(), confirmation="auto")
    for _ in range(4):
        asking.poll()
    assert [path for _, path, _ in wire.sent].count("/confirmationBase") == 1


class Cut(BaseException):
    """The power fails."""


@pytest.mark.parametrize("before", ["auto", "ask"])
def test_power_that_fails_at_any_write_only_delays_it(before: str) -> None:
    after = {"auto": "ask", "ask": "auto"}[before]
    cuts = 0
    while True:
        target, disk = Target(), Disk()
        polls(target, disk, before)
        left = [cuts]

        def strike(left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise Cut

        disk.strike = strike
        try:
            polls(target, disk, after)
        except Cut:
            pass
        else:
            break
        disk.strike = lambda: None
        polls(target, disk, after)
        assert target.initiator == ("ota-agent" if after == "auto" else None), f"cut at write {cuts}"
        done = len(target.sent)
        polls(target, disk, after)
        assert len(target.sent) == done + 3, "only polls are left"
        cuts += 1
    assert cuts >= 2


def test_a_full_disk_stops_no_poll_and_nothing_is_done_that_would_be_forgotten() -> None:
    target, disk = Target(), Disk()
    asking = server(target, disk, confirmation="auto")
    disk.full = True
    asking.poll()
    assert target.posts == []
    disk.full = False
    asking.poll()
    assert target.posts == [ON]


def test_without_a_network_a_poll_fails_as_ever() -> None:
    target, disk = Target(), Disk()
    target.down = True
    asking = server(target, disk, confirmation="auto")
    with pytest.raises(OtaError):
        asking.poll()
    target.down = False
    asking.poll()
    assert target.initiator == "ota-agent"


def test_another_server_is_told_too() -> None:
    target, disk = Target(), Disk()
    disk.save("auto_confirm", {"at": "https://other/DEFAULT/controller/v1/dev/confirmationBase", "state": "on"})
    polls(target, disk, "auto")
    assert target.posts == [ON]

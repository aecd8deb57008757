"""A day without the server, lived through by the real server side of the daemon: requests within the documented bound, and
everything that was said meanwhile arrives in order."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from support.ddi_wire import Wire, server
from support.pretend import Clock, Disk

from agent.daemon.server import Server
from agent.errors import OtaError
from agent.hawkbit.feedback import failure, proceeding, success
from agent.hawkbit.schedule import Failure, Limits, most_polls

DAY = 86400.0
STORY = (
    (100.0, proceeding("1", "1a")),
    (4000.0, failure("1", "1z")),
    (30_000.0, proceeding("2", "2a")),
    (30_001.0, proceeding("2", "2b")),
    (70_000.0, success("2", "2z")),
)


def status(code: int) -> Callable[[Wire], None]:
    def refuse(wire: Wire) -> None:
        for method, end in (("POST", "feedback"), ("GET", "dev"), ("PUT", "configData")):
            wire.answers[method, end] = code

    return refuse


def unplugged(wire: Wire) -> None:
    wire.down = True


OUTAGES: dict[Failure, Callable[[Wire], None]] = {
    Failure.UNREACHABLE: unplugged,
    Failure.BUSY: status(503),
    Failure.SERVER_ERROR: status(500),
    Failure.UNAUTHORISED: status(401),
}


def poll(asking: Server) -> bool:
    try:
        asking.poll()
    except OtaError:
        return False
    return True


@pytest.mark.req("C14", "S08")
@pytest.mark.parametrize("failure", list(OUTAGES))
@pytest.mark.parametrize("restarts", [0, 3])
def test_a_day_without_the_server_is_cheap_and_loses_nothing(failure: Failure, restarts: int) -> None:
    random.seed(f"{failure} {restarts}")
    wire, disk, clock = Wire(), Disk(), Clock()
    asking = server(wire, disk, clock=clock)
    assert poll(asking)
    OUTAGES[failure](wire)
    began, sent = clock.now, len(wire.sent)
    said = polls = 0
    again = [began + DAY * (n + 1) / (restarts + 1) for n in range(restarts)]
    while clock.now < began + DAY:
        clock.now = max(clock.now, asking.plan.next_poll)
        while said < len(STORY) and began + STORY[said][0] <= clock.now:
            asking.say(STORY[said][1])
            said += 1
        if again and clock.now >= again[0]:
            again.pop(0)
            asking = server(wire, disk, clock=clock)
        if clock.now < began + DAY:
            polls += 1
            assert not poll(asking)
    most = (restarts + 1) * most_polls(Limits(30, DAY, 300), failure, 600, DAY)
    assert 5 <= polls <= most
    assert len(wire.sent) - sent <= polls + 1, (
        "one request in each poll; one more when the patience with a message ends"
    )

    wire.answers.clear()
    wire.down = False
    sent = len(wire.sent)
    for _ in range(3):
        clock.now = asking.plan.next_poll
        poll(asking)
    assert clock.now - began < DAY + 2 * 21600
    words = [body["status"]["details"][0] for method, _, body in wire.sent[sent:] if method == "POST"]
    assert words == [message.details[0] for _, message in STORY]


@pytest.mark.req("S08")
def test_an_action_whose_end_is_not_taken_is_not_begun_anew_and_polls_go_on() -> None:
    wire, disk, clock = Wire(), Disk(), Clock()
    asking = server(wire, disk, clock=clock)
    asking.say(failure("7", "why"))
    wire.link("deploymentBase", "deploymentBase/7?c=1")
    wire.answers["POST", "deploymentBase/7/feedback"] = 500
    polls = [poll(asking) for _ in range(12)]
    assert polls == [False] * 9 + [True] * 3, "ten refusals are enough"
    assert asking.poll().deployment is None
    del wire.answers["POST", "deploymentBase/7/feedback"]
    assert asking.poll().deployment is None, "this offer is older than what the server has just heard"
    again = asking.poll().deployment
    assert again is not None, "a server that still offers it means it"

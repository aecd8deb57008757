"""A poll that brings nothing new costs the server nothing, and counts."""

from __future__ import annotations

import pytest
from support.ddi_wire import BASE, Wire, server
from support.pretend import Clock, Disk

from agent.errors import EnvironmentFault


@pytest.fixture
def wire() -> Wire:
    return Wire()


def test_an_answer_that_has_not_changed_is_the_last_one_and_counts_as_a_poll(wire: Wire) -> None:
    clock = Clock()
    asking = server(wire, Disk(), clock=clock)
    wire.etag = '"1"'
    wire.link("deploymentBase", "deploymentBase/7?c=1")
    first = asking.poll()
    clock.now += 5000
    assert asking.poll() == first
    assert wire.headers[-1]["If-None-Match"] == '"1"'
    assert 540 <= asking.plan.next_poll - clock.now <= 660


def test_a_changed_answer_is_read_and_its_tag_is_the_next_one_to_ask_with(wire: Wire) -> None:
    asking = server(wire, Disk())
    wire.etag = '"1"'
    asking.poll()
    wire.etag = '"2"'
    wire.link("deploymentBase", "deploymentBase/7?c=1")
    assert asking.poll().deployment is not None
    asking.poll()
    assert wire.headers[-1]["If-None-Match"] == '"2"'


def test_a_server_that_says_unchanged_without_being_asked_makes_no_sense(wire: Wire) -> None:
    wire.answers["GET", ""] = 304
    with pytest.raises(EnvironmentFault):
        server(wire, Disk()).poll()


@pytest.mark.parametrize("tag", ["", "x" * 300, '"\n"', '"ä"'])
def test_a_tag_that_cannot_be_sent_back_is_not_kept(wire: Wire, tag: str) -> None:
    asking = server(wire, Disk())
    wire.etag = tag
    asking.poll()
    asking.poll()
    assert not any("If-None-Match" in headers for headers in wire.headers)


def test_a_deployment_is_read_with_the_history_of_what_we_said(wire: Wire) -> None:
    body = {"download": "forced", "update": "forced", "chunks": []}
    history = {"status": "RUNNING", "messages": ["newest", 5, "oldest"]}
    wire.documents["/deploymentBase/7"] = {"id": "7", "deployment": body, "actionHistory": history}
    found = server(wire, Disk()).deployment(f"{BASE}/deploymentBase/7?c=-5")
    assert wire.sent[-1][1] == "/deploymentBase/7?c=-5&actionHistory=20"
    assert found.history == ("newest", "oldest")


@pytest.mark.parametrize("history", [None, [], {}, {"messages": "x"}, {"messages": None}])
def test_a_history_that_makes_no_sense_is_none(wire: Wire, history: object) -> None:
    body = {"download": "forced", "update": "forced", "chunks": []}
    wire.documents["/deploymentBase/7"] = {"id": "7", "deployment": body, "actionHistory": history}
    assert server(wire, Disk()).deployment(f"{BASE}/deploymentBase/7").history == ()


def test_what_was_heard_last_is_known_also_from_a_health_check(wire: Wire) -> None:
    asking = server(wire, Disk())
    wire.link("cancelAction", "cancelAction/7")
    asking.contact()
    assert asking.heard is not None
    assert asking.heard.cancel is not None
    wire.base = {"_links": []}
    asking.contact()
    assert asking.heard is None

"""Who may do what: every member asked for by root, by a member of the group, and by somebody else, with the real polkit and
without. The members come from the introspection data, so that a new one is asked for, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support.system_bus import (
    POLKIT_OPEN,
    agent_on,
    agent_with_polkit,
    broken_polkit_on,
    calls_as,
    request_name,
    system_bus,
    waiting_as,
)

from agent.bus.interface import Argument, read
from agent.bus.introspection import FREE
from agent.daemon.dbus_names import MANAGER

PROPERTIES = "org.freedesktop.DBus.Properties"
DENIED = "AccessDenied"
# The operators may install and mark; nobody sits in front of the device, so polkit's defaults want an administrator.
RULE = """polkit.addRule(function (action, subject) {
    var granted = ["org.otaagent.agent1.install", "org.otaagent.agent1.mark"];
    if (granted.indexOf(action.id) >= 0 && subject.user != "root") return polkit.Result.YES;
});"""
GRANTED = {"install", "mark"}
METHODS = [(each.name, row) for each in read() for row in each.methods]
SAMPLES: dict[str, Any] = {"s": "x", "u": 1, "h": 0, "a{sv}": {}, "v": ["s", "x"]}

pytestmark = [pytest.mark.root, pytest.mark.req("T25", "C09")]


def sample(arguments: tuple[Argument, ...]) -> tuple[str, list[Any]]:
    return "".join(each.signature for each in arguments), [SAMPLES[each.signature] for each in arguments]


def answers(address: str, user: str) -> dict[str, bool]:
    """Whether each method was denied."""
    calls = [(interface, row.name, *sample(row.takes)) for interface, row in METHODS]
    got = calls_as(address, user, calls)
    return {
        f"{call[0].rpartition('.')[2]}.{call[1]}": answer == DENIED for call, answer in zip(calls, got, strict=True)
    }


def expected(permitted: set[str]) -> dict[str, bool]:
    return {f"{interface.rpartition('.')[2]}.{row.name}": row.access not in permitted for interface, row in METHODS}


EVERYTHING = {row.access for _, row in METHODS}


@pytest.fixture(scope="module")
def without_polkit() -> Iterator[str]:
    with system_bus() as address, agent_on(address):
        yield address


@pytest.fixture(scope="module")
def with_polkit() -> Iterator[str]:
    with agent_with_polkit(RULE) as (address, _):
        yield address


@pytest.mark.parametrize(("user", "permitted"), [("root", EVERYTHING), ("member", EVERYTHING), ("other", {FREE})])
def test_without_polkit_root_and_the_group_command(without_polkit, user, permitted):
    assert answers(without_polkit, user) == expected(permitted)


@pytest.mark.parametrize(
    ("user", "permitted"), [("root", EVERYTHING), ("member", {FREE, *GRANTED}), ("other", {FREE, *GRANTED})]
)
def test_with_polkit_its_rules_decide_and_the_group_means_nothing(with_polkit, user, permitted):
    assert answers(with_polkit, user) == expected(permitted)


@pytest.mark.parametrize("user", ["root", "member", "other"])
def test_everybody_reads_every_property_and_nobody_writes_one(without_polkit, user):
    rows = [(each.name, row.name) for each in read() for row in each.properties]
    reading = [(PROPERTIES, "Get", "ss", [interface, name]) for interface, name in rows]
    reading += [(PROPERTIES, "GetAll", "s", [each.name]) for each in read()]
    reading.append(("org.freedesktop.DBus.Introspectable", "Introspect", "", []))
    writing = [(PROPERTIES, "Set", "ssv", [interface, name, ["s", "x"]]) for interface, name in rows]
    got = calls_as(without_polkit, user, [*reading, *writing])
    assert set(got[: len(reading)]) == {""}
    assert set(got[len(reading) :]) <= {"InvalidArgs", "PropertyReadOnly"}


def test_where_the_group_does_not_exist_nobody_is_in_it():
    with system_bus() as address, agent_on(address, with_group=False):
        assert answers(address, "member") == expected({FREE})


def test_only_root_may_be_the_agent():
    with system_bus() as address:
        assert request_name(address, "member") == request_name(address, "other") == DENIED
        with agent_on(address) as process:
            assert process.poll() is None
            assert request_name(address, "root") == "3", "it exists, and is not given away"


@pytest.mark.parametrize("polkit", ["silent", "refusing", "nonsense"])
def test_a_polkit_that_does_not_answer_as_it_should_is_a_refusal_and_the_main_loop_goes_on(polkit):
    with system_bus(POLKIT_OPEN) as address, agent_on(address), broken_polkit_on(address, polkit):
        asked = [(MANAGER, "Check", "", [])]
        if polkit == "silent":
            with waiting_as(address, "member", asked * 20):
                assert calls_as(address, "root", asked) == [""], "root waits for nobody"
                assert calls_as(address, "other", [(PROPERTIES, "GetAll", "s", [MANAGER])]) == [""]
                assert calls_as(address, "member", asked) == ["AccessBusy"], "eight of this user wait already"
        else:
            assert calls_as(address, "member", asked) == [DENIED]


def test_whoever_asks_too_much_at_once_is_told_so_and_nobody_else(with_polkit):
    asked = [(MANAGER, "Check", "", [])]
    got = calls_as(with_polkit, "other", asked * 60, at_once=60)
    assert set(got) == {DENIED, "AccessBusy"}
    assert calls_as(with_polkit, "member", [(MANAGER, "Cancel", "", [])]) == [DENIED]

"""A signal that carries values of any type: each has the type of the property that it is about."""

from __future__ import annotations

import pytest
from gi.repository import Gio

from agent.bus.introspection import AGENT
from agent.bus.values import Values


def values() -> Values:
    return Values(Gio.DBusNodeInfo.new_for_xml(AGENT.read_text()).interfaces, {})


@pytest.mark.parametrize(
    ("name", "before", "after", "kind"),
    [
        ("AutoSecurityUpdates", True, False, "b"),
        ("Approval", "auto", "ask-install", "s"),
        ("Windows", [], ["02:00-05:00"], "as"),
        ("BandwidthLimit", 0, 5000, "t"),
        ("AuditRecording", False, True, "b"),
    ],
)
@pytest.mark.req("C05")
def test_a_changed_policy_is_told_with_its_type(name: str, before: object, after: object, kind: str) -> None:
    interface, member, arguments = values().signal("Policy.Changed", (name, before, after, ":1.5"))
    assert (interface, member) == ("org.otaagent.Agent1.Policy", "Changed")
    assert arguments.unpack() == (name, before, after, ":1.5")
    assert arguments.get_child_value(2).get_variant().get_type_string() == kind


@pytest.mark.parametrize("carried", [("Mood", 1, 2, "x"), ("Approval", 5, "auto", "x"), ("Approval", "auto")])
def test_what_fits_no_property_is_refused(carried: tuple[object, ...]) -> None:
    with pytest.raises(ValueError):
        values().signal("Policy.Changed", carried)

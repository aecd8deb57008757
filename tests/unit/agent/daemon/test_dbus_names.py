"""Promises of the interface table: valid names, and errors that survive the way over the bus."""

from __future__ import annotations

import pytest
from gi.repository import Gio
from hypothesis import given
from hypothesis import strategies as st

from agent.daemon import dbus_names as names
from agent.errors import EnvironmentFault, explain


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("policy.version-too-low", "PolicyVersionTooLow"),
        ("access.denied", "AccessDenied"),
        ("internal.unexpected", "Internal"),
        ("Not A Code", "Internal"),
        ("", "Internal"),
        ("a" * 100, "Internal"),
    ],
)
def test_a_code_has_one_dbus_error_name(code, name):
    assert names.error_name(code) == f"org.otaagent.Agent1.Error.{name}"


@given(st.text(max_size=100))
def test_every_error_name_is_one_for_dbus(code):
    assert Gio.dbus_is_interface_name(names.error_name(code))


@given(
    st.from_regex(r"[a-z]{1,8}\.[a-z]{1,8}(-[a-z]{1,8})?", fullmatch=True),
    st.text(st.characters(whitelist_categories=("L", "N", "P")), min_size=1, max_size=60),
    st.text(st.characters(whitelist_categories=("L", "N")), max_size=60),
    st.text(st.characters(whitelist_categories=("L", "N")), max_size=60),
)
def test_an_error_survives_the_way_over_the_bus(code, brief, details, resolution):
    error = EnvironmentFault(code, brief, details=details, resolution=resolution)
    parts = names.parse_error_message(names.error_message(explain(error)))
    assert parts == {"code": code, "brief": brief, "details": details, "resolution": resolution}


def test_details_of_several_lines_survive():
    error = EnvironmentFault("config.invalid", "2 problems", details="a: b\nc: d", resolution="correct it")
    parts = names.parse_error_message(names.error_message(explain(error)))
    assert parts["details"] == "a: b\nc: d"


@given(st.text(max_size=200))
def test_any_text_can_be_taken_for_an_error_message(text):
    names.parse_error_message(text)

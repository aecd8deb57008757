"""Attributes fit hawkBit's limits; addresses are built and followed safely."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import EnvironmentFault
from agent.hawkbit import config_data, links

# the server's own rule, written down independently
HAWKBIT = re.compile(r"[a-zA-Z0-9_\-!@#$%^&*()+=\[\]{}|;:'\",.<>/\\?\s]*")


def test_good_attributes_are_left_alone() -> None:
    found = config_data.sanitise({"sw_version": "1.2.3", "slot": "A", "gone": None})
    assert dict(found.values) == {"sw_version": "1.2.3", "slot": "A", "gone": None}
    assert found.altered == ()
    assert json.loads(config_data.body(found)) == {
        "mode": "merge",
        "data": {"sw_version": "1.2.3", "slot": "A", "gone": None},
    }


def test_what_had_to_be_changed_is_reported() -> None:
    found = config_data.sanitise({"ok": "ü~", "k" * 200: "v", "": "x", "a b": "1", "a  b": "2"})
    assert found.values["ok"] == "__"
    assert found.values["a b"] == "1"
    assert found.altered == ("ok", "k" * 200, "", "a  b")


def test_the_first_hundred_pairs_stay() -> None:
    found = config_data.sanitise({f"k{n}": "v" for n in range(150)})
    assert list(found.values) == [f"k{n}" for n in range(100)]
    assert len(found.altered) == 50


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.text(max_size=200), st.one_of(st.none(), st.text(max_size=200)), max_size=20))
def test_any_attributes_fit(attributes: dict[str, str | None]) -> None:
    found = config_data.sanitise(attributes)
    for key, value in found.values.items():
        assert 0 < len(key) <= 128
        assert HAWKBIT.fullmatch(key)
        assert value is None or (len(value) <= 128 and HAWKBIT.fullmatch(value))
    json.loads(config_data.body(found))


def test_the_controller_address_is_quoted() -> None:
    assert (
        links.controller_base("https://h:8443/", "DEFAULT", "dév:1")
        == "https://h:8443/DEFAULT/controller/v1/d%C3%A9v%3A1"
    )


@pytest.mark.parametrize("name", ["", "a b", "a/b", "..", "a;b", "a%2Fb", "x" * 257, "a\nb"])
def test_names_that_hawkbit_refuses_are_refused_here(name: str) -> None:
    with pytest.raises(ValueError):
        links.controller_base("https://h", "DEFAULT", name)


def test_links_are_resolved_against_their_document() -> None:
    base = "https://h:8443/DEFAULT/controller/v1/dev"
    assert links.resolve(base, "/x/y") == "https://h:8443/x/y"
    assert links.resolve(base, "https://cdn/z") == "https://cdn/z"
    assert links.rebase("http://inner:8080/a?c=1", "https://outer") == "https://outer/a?c=1"


@pytest.mark.req("T24")
@pytest.mark.parametrize("href", ["file:///etc/passwd", "ftp://h/x", "https://h:99999/", "http://[", "https://h:0/"])
def test_links_that_are_no_http_address_are_refused(href: str) -> None:
    with pytest.raises(EnvironmentFault):
        links.resolve("https://h/", href)

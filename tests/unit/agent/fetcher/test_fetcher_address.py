"""Addresses are read once, in one way, and only safe ones are asked."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import EnvironmentFault
from agent.fetcher import address
from agent.fetcher.address import Origin, check, follow, origin_of

HOME = Origin("https", "server.example", 8443)
PLAIN = Origin("http", "server.example", 80)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Server.Example:8443/a?b=c", HOME),
        ("https://h", Origin("https", "h", 443)),
        ("http://h/", Origin("http", "h", 80)),
        ("HTTPS://h:443/x", Origin("https", "h", 443)),
        ("https://[::1]:8443/x", Origin("https", "::1", 8443)),
    ],
)
def test_an_origin_is_scheme_host_and_port(url: str, origin: Origin) -> None:
    assert origin_of(url) == origin
    assert origin_of(str(origin)) == origin


@pytest.mark.req("T06", "T24")
@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://",
        "//h/x",
        "ftp://h/x",
        "file:///etc/shadow",
        "https://user@h/x",
        "https://user:secret@h/x",
        "https://good\\@evil/x",
        "https://good\\.evil/x",
        "https://h:0/x",
        "https://h:99999/x",
        "https://h:x/",
        "https://h/a b",
        "https://h/a\r\nHost: evil",
        "https://h/\x00",
        "https://hé/",
        "https://[::1/x",
        "https://h/" + "a" * 9000,
    ],
)
def test_an_address_that_could_mislead_is_refused(url: str) -> None:
    with pytest.raises(EnvironmentFault) as caught:
        origin_of(url)
    assert caught.value.code == "net.bad-url"
    assert "secret" not in str(caught.value)


@pytest.mark.req("S10", "C10")
def test_http_is_allowed_only_when_the_server_itself_is_http() -> None:
    assert check("http://other/x", PLAIN).scheme == "http"
    assert check("https://other/x", HOME).host == "other"
    with pytest.raises(EnvironmentFault, match=r"net\.insecure"):
        check("http://server.example/x", HOME)


@pytest.mark.req("S10", "T06")
def test_a_redirect_never_leads_from_https_to_http() -> None:
    for home in (HOME, PLAIN):
        with pytest.raises(EnvironmentFault, match=r"net\.insecure"):
            follow("https://server.example/x", "http://server.example/x", home)
    assert follow("http://server.example/x", "https://server.example/x", PLAIN) == "https://server.example/x"


def test_a_redirect_is_resolved_against_its_address() -> None:
    assert follow("https://h/a/b?q", "../c#frag", HOME) == "https://h/c"
    assert follow("https://h/a", "//cdn/x", HOME) == "https://cdn/x"
    for location in ("http://[", "mailto:x", "https://u@h/", ""):
        if location:
            with pytest.raises(EnvironmentFault):
                follow("https://h/a", location, HOME)


def test_error_texts_show_no_query() -> None:
    assert address.shown("https://h/a?X-Amz-Signature=secret") == "https://h/a"


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="https:/@\\[]%?#.ab1\t é", max_size=40))
def test_any_text_is_an_origin_or_refused(text: str) -> None:
    try:
        origin = origin_of(text)
    except EnvironmentFault:
        return
    assert origin.scheme in ("http", "https")
    assert origin.host
    assert 0 < origin.port < 65536

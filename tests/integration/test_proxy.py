"""The fetcher process behind a proxy: it sees where we go and its own login, and nothing else of ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.doorman import doorman
from support.identities import Factory
from support.server import TOKEN, Fetcher, error_of, random_file, running_fetcher, running_server
from support.tunnel import http_proxy

from agent.demo.server_tls import Tls, make_tls

LOGIN = "device:p4ss w\u00f6rd"


@pytest.fixture
def fetcher() -> Iterator[Fetcher]:
    with running_fetcher() as running:
        yield running


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return make_tls(tmp_path_factory.mktemp("tls"))


@pytest.mark.req("T06", "C10")
@pytest.mark.parametrize("secured", [False, True], ids=["http proxy", "https proxy"])
def test_a_download_goes_through_a_proxy_that_sees_no_token(
    tmp_path: Path, tls: Tls, fetcher: Fetcher, secured: bool
) -> None:
    with running_server(tmp_path, tls=tls) as running, http_proxy(LOGIN, tls=tls if secured else None) as proxy:
        data = random_file(tmp_path / "b.raucb", 300_000)
        _, url = running.offer(tmp_path / "b.raucb")
        assert fetcher.ask(running.session(proxy=proxy.url, proxy_login=LOGIN)).op == "ok"
        assert fetcher.get(running.server.controller_url("dev1")).header["status"] == 200
        assert fetcher.serve(url, len(data)).read_at(0, len(data)) == data
        fetcher.source_channel.close()
        assert fetcher.answer().op == "served"
        assert {seen.headers["authorization"] for seen in running.server.seen} == {f"TargetToken {TOKEN}"}
        port = running.server.url.rpartition(":")[2]
        assert {head.split(" HTTP/")[0] for head in proxy.heads} == {f"CONNECT 127.0.0.1:{port}"}
        assert TOKEN.encode() not in proxy.seen
        assert not any("proxy-authorization" in seen.headers for seen in running.server.seen)


def test_plain_http_goes_through_a_proxy_in_absolute_form(tls: Tls, fetcher: Fetcher) -> None:
    with doorman(None) as home, http_proxy(LOGIN) as proxy:
        terms = {"op": "session", "origin": home.url, "ca_pem": "", "user": "", "proxy": proxy.url}
        assert fetcher.ask({**terms, "proxy_login": LOGIN}).op == "ok"
        assert fetcher.get(f"{home.url}/x").body == b"welcome"
        assert proxy.heads[0].startswith(f"GET {home.url}/x HTTP/1.1\r\n")
        assert fetcher.ask(terms).op == "ok"
        assert error_of(fetcher.get(f"{home.url}/x"))["code"] == "net.proxy-login"


@pytest.mark.req("T06")
def test_the_login_for_the_proxy_is_not_sent_to_the_server_behind_it_nor_the_certificate_to_the_proxy(
    tls: Tls, fetcher: Fetcher
) -> None:
    factory = Factory()
    with doorman(tls, factory.root_pem) as home, http_proxy(LOGIN, tls=tls) as proxy:
        terms = {
            "op": "session",
            "origin": home.url,
            "ca_pem": tls.ca_pem,
            "user": "",
            "identity": factory.device().message,
        }
        assert fetcher.ask({**terms, "proxy": proxy.url, "proxy_login": LOGIN}).op == "ok"
        assert fetcher.get(f"{home.url}/x").body == b"welcome"
        assert [visit.who for visit in home.visits] == ["dev1"]
        assert "proxy-authorization" not in home.visits[0].headers


@pytest.mark.parametrize(
    ("login", "answer", "code", "details"),
    [
        ("device:wrong", b"", "net.proxy-login", "407 from the proxy"),
        ("", b"", "net.proxy-login", "407 from the proxy"),
        (LOGIN, b"HTTP/1.1 401 Unauthorized\r\n\r\n", "net.proxy-login", "401 from the proxy"),
        (LOGIN, b"HTTP/1.1 403 Forbidden\r\n\r\n", "net.proxy", "403 from the proxy"),
        (LOGIN, b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "net.proxy", "502 from the proxy"),
        (LOGIN, b"220 mail.example.org ESMTP\r\n", "net.protocol", "BadStatusLine"),
    ],
)
def test_what_goes_wrong_at_the_proxy_names_the_proxy(
    tls: Tls, fetcher: Fetcher, login: str, answer: bytes, code: str, details: str
) -> None:
    with doorman(tls) as home, http_proxy(LOGIN, answer=answer) as proxy:
        terms = {"op": "session", "origin": home.url, "ca_pem": tls.ca_pem, "user": "", "proxy": proxy.url}
        assert fetcher.ask({**terms, "proxy_login": login}).op == "ok"
        error = error_of(fetcher.get(f"{home.url}/x"))
        assert error["code"] == code, error
        assert f"through the proxy {proxy.url}" in error["details"]
        assert details in error["details"]
        assert "p4ss" not in str(error)
        assert home.visits == []


def test_a_server_that_behaves_like_a_proxy_is_not_told_as_the_proxy(tls: Tls, fetcher: Fetcher) -> None:
    with doorman(tls) as home, http_proxy(LOGIN) as proxy:
        terms = {"op": "session", "origin": home.url, "ca_pem": tls.ca_pem, "user": "", "proxy": proxy.url}
        assert fetcher.ask({**terms, "proxy_login": LOGIN}).op == "ok"
        assert fetcher.get(f"{home.url}/status/407").header["status"] == 407


def unreachable(tls: Tls, url: str) -> dict[str, Any]:
    return {"op": "session", "origin": "https://127.0.0.1:1", "ca_pem": tls.ca_pem, "user": "", "proxy": url}


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://proxy.invalid:3128", "https://127.0.0.1:1"])
def test_a_proxy_that_is_not_there_is_no_network(tls: Tls, fetcher: Fetcher, url: str) -> None:
    assert fetcher.ask(unreachable(tls, url)).op == "ok"
    error = error_of(fetcher.get("https://127.0.0.1:1/x"))
    assert (error["code"], error["retryable"]) == ("net.proxy", True)


@pytest.mark.req("S10")
def test_a_proxy_with_an_unknown_certificate_is_not_trusted(tmp_path: Path, tls: Tls, fetcher: Fetcher) -> None:
    with http_proxy(tls=make_tls(tmp_path / "stranger")) as proxy:
        assert fetcher.ask(unreachable(tls, proxy.url)).op == "ok"
        error = error_of(fetcher.get("https://127.0.0.1:1/x"))
        assert error["code"] == "net.proxy"
        assert "unable to get local issuer certificate" in error["details"]
        assert proxy.heads == []

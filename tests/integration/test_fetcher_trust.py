"""The fetcher process believes only the right server, and tells its token to nobody else."""

from __future__ import annotations

import ssl
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.raw import drips, raw_server, says
from support.server import TOKEN, Fetcher, Running, error_of, running_fetcher, running_server

from agent.demo.server_tls import make_tls


@pytest.fixture
def fetcher() -> Iterator[Fetcher]:
    with running_fetcher() as running:
        yield running


def refusal(fetcher: Fetcher, terms: dict[str, Any], url: str, **options: Any) -> dict[str, Any]:
    """Opens a session, asks once, and returns the error; the token must not be in it."""
    assert fetcher.ask(terms).op == "ok"
    error = error_of(fetcher.get(url, **options))
    assert TOKEN not in str(error)
    return error


@pytest.mark.req("S10", "S11", "T07")
@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"names": ("wrong.example",)}, "net.tls-name"),
        ({"names": ("localhost",)}, "net.tls-name"),
        ({"days": -1, "started": 10}, "net.tls-expired"),
        ({"days": 10, "started": -2}, "net.tls-expired"),
    ],
)
def test_a_certificate_with_a_defect_is_refused_by_its_name(
    tmp_path: Path, fetcher: Fetcher, options: dict[str, Any], code: str
) -> None:
    with running_server(tmp_path, tls=make_tls(tmp_path / "odd", **options)) as running:
        assert refusal(fetcher, running.session(), running.server.url)["code"] == code
        assert running.server.requests() == []


@pytest.mark.req("S10", "S11", "T07")
@pytest.mark.parametrize("trust", ["another authority", "the system"])
def test_a_server_of_an_unknown_authority_is_refused(tmp_path: Path, fetcher: Fetcher, trust: str) -> None:
    pem = "" if trust == "the system" else make_tls(tmp_path / "other").ca_pem
    with running_server(tmp_path) as running:
        assert refusal(fetcher, running.session(ca_pem=pem), running.server.url)["code"] == "net.tls-untrusted"
        assert running.server.requests() == []


@pytest.mark.req("S10", "S36", "C10")
@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
def test_old_versions_of_tls_are_refused(tmp_path: Path, fetcher: Fetcher, version: str) -> None:
    def weaken(context: ssl.SSLContext) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion[version]

    with running_server(tmp_path, configure=weaken) as running:
        assert refusal(fetcher, running.session(), running.server.url)["code"] == "net.tls-failed"


@pytest.mark.req("S10")
def test_a_server_without_tls_behind_an_https_address_is_refused(tmp_path: Path, fetcher: Fetcher) -> None:
    with running_server(tmp_path, plain=True) as running:
        url = running.server.url.replace("http:", "https:")
        assert refusal(fetcher, running.session(origin=url), url)["code"] == "net.tls-failed"


@pytest.mark.req("S10", "C10")
def test_plain_http_is_refused_when_the_server_is_https(tmp_path: Path, fetcher: Fetcher) -> None:
    with running_server(tmp_path) as running, raw_server(says(b"")) as other:
        error = refusal(fetcher, running.session(), f"{other}/x")
        assert (error["code"], error["retryable"]) == ("net.insecure", False)


@pytest.mark.req("S10", "T06")
def test_a_redirect_to_http_is_refused(tmp_path: Path, fetcher: Fetcher) -> None:
    with running_server(tmp_path) as running:
        running.server.faults.redirect(running.server.url.replace("https", "http"), path=".")
        assert refusal(fetcher, running.session(), running.server.url)["code"] == "net.insecure"


@pytest.mark.req("T06", "C10")
def test_the_token_is_never_sent_to_another_origin(tmp_path: Path, fetcher: Fetcher) -> None:
    tls = make_tls(tmp_path / "one")
    with running_server(tmp_path, tls=tls) as home, running_server(tmp_path, tls=tls) as other:
        home.server.faults.redirect(f"{other.server.url}/x", path="/start")
        other.server.faults.redirect(f"{home.server.url}/back", path="/x")
        home.server.faults.respond(200, path="/back", body=b"end")
        other.server.faults.respond(200, path="/direct", body=b"direct")
        assert fetcher.ask(home.session()).op == "ok"
        assert fetcher.get(f"{home.server.url}/start").body == b"end"
        assert fetcher.get(f"{other.server.url}/direct").body == b"direct"
        assert [seen.headers.get("authorization") for seen in other.server.seen] == [None, None]
        assert [seen.headers["authorization"] for seen in home.server.seen] == [f"TargetToken {TOKEN}"] * 2
        by_name = home.server.url.replace("127.0.0.1", "localhost")
        home.server.faults.respond(200, path="/named")
        assert fetcher.get(f"{by_name}/named").op == "response"
        assert "authorization" not in home.server.requests("/named")[0].headers


def test_five_redirects_are_followed_and_six_are_not(tmp_path: Path, fetcher: Fetcher) -> None:
    with running_server(tmp_path) as running:
        assert fetcher.ask(running.session()).op == "ok"
        running.server.faults.redirect("/next", times=5, path="/")
        running.server.faults.respond(200, body=b"there")
        assert fetcher.get(f"{running.server.url}/first").body == b"there"
        running.server.faults.redirect("/next", times=6, path="/")
        assert error_of(fetcher.get(f"{running.server.url}/first"))["code"] == "net.redirect"


def test_a_post_is_not_redirected(tmp_path: Path, fetcher: Fetcher) -> None:
    with running_server(tmp_path) as running:
        running.server.faults.redirect("/next", path="/")
        error = refusal(fetcher, running.session(), f"{running.server.url}/x", method="POST", body=b"{}")
        assert error["code"] == "net.redirect"


@pytest.mark.req("C10")
def test_no_cookie_comes_back_and_headers_are_passed_on_by_name(tmp_path: Path, fetcher: Fetcher) -> None:
    with running_server(tmp_path) as running:
        answer = {"Set-Cookie": "a=b", "ETag": '"e"', "X-Fill": "x" * 1000, "Retry-After": "7"}
        running.server.faults.respond(200, times=2, headers=answer)
        assert fetcher.ask(running.session()).op == "ok"
        for _ in range(2):
            headers = fetcher.get(running.server.url, accept="application/json").header["headers"]
            assert isinstance(headers, dict)
            assert sorted(headers) == ["content-length", "date", "etag", "retry-after"]
        seen = running.server.seen[-1].headers
        assert "cookie" not in seen
        assert seen["user-agent"].startswith("ota-agent/")
        assert seen["accept"] == "application/json"


def test_statuses_are_the_daemons_business(tmp_path: Path, fetcher: Fetcher) -> None:
    with running_server(tmp_path) as running:
        assert fetcher.ask(running.session()).op == "ok"
        for status in (200, 304, 400, 401, 404, 409, 410, 429, 500):
            running.server.faults.respond(status, body=b"x" * 100_000 if status >= 400 else b"")
            answer = fetcher.get(running.server.url, max_body=70_000)
            assert (answer.op, answer.header["status"]) == ("response", status)
            assert len(answer.body) <= 65_536


@pytest.mark.req("T16")
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_cap_is_refused(fetcher: Fetcher, chunked: bool) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n"
    endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    talk = drips(endless, b"4000\r\n" + b"x" * 0x4000 + b"\r\n", 0.0) if chunked else says(head + b"x" * 70_000)
    with raw_server(talk) as origin:
        assert refusal(fetcher, plain_terms(origin), origin, max_body=65_536)["code"] == "net.too-large"


@pytest.mark.req("T16")
def test_an_endless_body_of_a_redirect_is_not_read(fetcher: Fetcher) -> None:
    head = b"HTTP/1.1 302 Found\r\nLocation: /x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with raw_server(drips(head, b"4000\r\n" + b"x" * 0x4000 + b"\r\n", 0.0)) as origin:
        assert refusal(fetcher, plain_terms(origin, connect_timeout=2), origin)["code"] == "net.redirect"


def plain_terms(origin: str, **changes: Any) -> dict[str, Any]:
    return {"op": "session", "ca_pem": "", "auth": None, "origin": origin, "user": "", **changes}


QUICK = {"connect_timeout": 0.4, "read_timeout": 0.4}


@pytest.mark.req("T22", "S09")
@pytest.mark.parametrize(
    ("talk", "code"),
    [
        (says(b""), "net.connect"),
        (says(b"SSH-2.0-OpenSSH\r\n"), "net.protocol"),
        (says(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n"), "net.protocol"),
        (says(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"), "net.short-body"),
        (says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"), "net.short-body"),
        (says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab"), "net.short-body"),
        (says(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx"), "net.protocol"),
        (says(b"HTTP/1.1 302 Found\r\nLocation: gopher://x/\r\nContent-Length: 0\r\n\r\n"), "net.bad-url"),
        (drips(b"", b"", 0.05), "net.timeout"),
        (drips(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", 0.2), "net.timeout"),
        (drips(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"x", 0.2), "net.timeout"),
    ],
    ids=[
        "nothing",
        "ssh",
        "many headers",
        "short",
        "short chunk",
        "bad chunk",
        "packed",
        "gopher",
        "silence",
        "slow head",
        "slow body",
    ],
)
def test_broken_answers_have_a_code_of_their_own(fetcher: Fetcher, talk: Callable[..., None], code: str) -> None:
    with raw_server(talk) as origin:
        assert refusal(fetcher, plain_terms(origin, **QUICK), f"{origin}/x?secret={TOKEN}")["code"] == code


@pytest.mark.req("S09")
def test_a_name_that_does_not_exist_and_a_port_that_is_closed_have_codes(fetcher: Fetcher) -> None:
    terms = plain_terms("https://host.invalid")
    assert refusal(fetcher, terms, "https://host.invalid/x")["code"] == "net.dns"
    assert error_of(fetcher.get("https://127.0.0.1:1/x"))["code"] == "net.connect"


def test_the_environment_has_no_say(tmp_path: Path) -> None:
    env = {"https_proxy": "http://127.0.0.1:1", "REQUESTS_CA_BUNDLE": "/nowhere", "PATH": "/usr/bin"}
    with running_server(tmp_path) as running, running_fetcher(env=env) as fetcher:
        assert fetcher.ask(running.session()).op == "ok"
        assert fetcher.get(running.server.controller_url("dev1")).header["status"] == 200


def test_a_whole_update_can_be_told_over_the_channel(tmp_path: Path, fetcher: Fetcher) -> None:
    with running_server(tmp_path) as running:
        told = _tell(running, fetcher, tmp_path)
        assert [entry.type for entry in running.server.history(told)][-1] == "FINISHED"
        assert running.server.target("dev1").update_status == "IN_SYNC"


def _tell(running: Running, fetcher: Fetcher, tmp_path: Path) -> str:
    path = tmp_path / "b.raucb"
    path.write_bytes(b"bundle")
    action, _ = running.offer(path)
    assert fetcher.ask(running.session()).op == "ok"
    body = b'{"status":{"execution":"closed","result":{"finished":"success"}}}'
    url = f"{running.server.controller_url('dev1')}/deploymentBase/{action}/feedback"
    assert fetcher.get(url, method="POST", body=body, content_type="application/json").header["status"] == 200
    return action

"""The fetcher process and a server that wants a certificate of its clients: shown to that server, and to nobody else."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.doorman import Doorman, doorman
from support.identities import Device, Factory
from support.server import Fetcher, error_of, running_fetcher

from agent.demo.server_tls import Tls, make_tls
from agent.errors import ConfigError
from agent.fetcher.terms import Identity
from agent.fetcher.tls import make_context

FACTORY = Factory()
STRANGERS = Factory()


@pytest.fixture
def fetcher() -> Iterator[Fetcher]:
    with running_fetcher() as running:
        yield running


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return make_tls(tmp_path_factory.mktemp("tls"))


def terms(home: Doorman, tls: Tls, device: Device | None, **changes: Any) -> dict[str, Any]:
    identity = device.message if device else None
    return {"op": "session", "origin": home.url, "ca_pem": tls.ca_pem, "user": "", "identity": identity, **changes}


@pytest.mark.req("S10", "C10")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_device_is_known_by_its_certificate_whose_whole_chain_it_presents(
    tls: Tls, fetcher: Fetcher, version: ssl.TLSVersion
) -> None:
    with doorman(tls, FACTORY.root_pem, version=version) as home:
        assert fetcher.ask(terms(home, tls, FACTORY.device("dev7"))).op == "ok"
        assert fetcher.get(f"{home.url}/x").body == b"welcome"
        assert [visit.who for visit in home.visits] == ["dev7"]
        assert "authorization" not in home.visits[0].headers


@pytest.mark.req("S10")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("device", "why", "advice"),
    [
        (FACTORY.device(days=-1), "it has expired", "renew the certificate"),
        (STRANGERS.device(), "it does not know the authority", "server.client-cert"),
        (replace(FACTORY.device(), between=""), "it does not know the authority", "server.client-cert"),
    ],
    ids=["expired", "stranger", "chain not complete"],
)
def test_a_server_that_does_not_accept_our_certificate_is_explained(
    tls: Tls, fetcher: Fetcher, version: ssl.TLSVersion, device: Device, why: str, advice: str
) -> None:
    with doorman(tls, FACTORY.root_pem, version=version) as home:
        assert fetcher.ask(terms(home, tls, device)).op == "ok"
        error = error_of(fetcher.get(f"{home.url}/x"))
        assert (error["code"], error["retryable"]) == ("net.client-rejected", True), error
        assert why in error["details"]
        assert advice in error["resolution"]
        assert home.visits == []


def test_a_server_that_wants_a_certificate_and_gets_none_is_explained(tls: Tls, fetcher: Fetcher) -> None:
    with doorman(tls, FACTORY.root_pem) as home:
        assert fetcher.ask(terms(home, tls, None)).op == "ok"
        error = error_of(fetcher.get(f"{home.url}/x"))
        assert error["code"] == "net.client-rejected"
        assert "it wants one" in error["details"]


@pytest.mark.req("T06", "C10")
def test_the_certificate_is_shown_to_the_configured_origin_only(tls: Tls, fetcher: Fetcher) -> None:
    with (
        doorman(tls, FACTORY.root_pem) as home,
        doorman(tls, FACTORY.root_pem, optional=True) as other,
    ):
        home.location, other.file = f"{other.url}/file", b"from elsewhere"
        assert fetcher.ask(terms(home, tls, FACTORY.device())).op == "ok"
        assert fetcher.get(f"{home.url}/redirects").body == b"from elsewhere"
        assert fetcher.get(f"{other.url}/file").body == b"from elsewhere"
        home.location = ""
        assert fetcher.get(f"{home.url}/again").body == b"welcome"
        assert [visit.who for visit in home.visits] == ["dev1", "dev1"]
        assert [visit.who for visit in other.visits] == ["", ""]


@pytest.mark.req("T06")
def test_another_origin_that_wants_a_certificate_does_not_get_it_even_on_the_same_host(
    tls: Tls, fetcher: Fetcher
) -> None:
    with doorman(tls, FACTORY.root_pem) as home, doorman(tls, FACTORY.root_pem) as other:
        assert fetcher.ask(terms(home, tls, FACTORY.device())).op == "ok"
        assert fetcher.get(f"{home.url}/x").op == "response"
        for _ in range(2):
            assert error_of(fetcher.get(f"{other.url}/x"))["code"] == "net.client-rejected"
        assert fetcher.get(f"{home.url}/x").op == "response"


@pytest.mark.req("T06")
def test_downloads_without_credentials_show_no_certificate_either(tls: Tls, fetcher: Fetcher) -> None:
    with doorman(tls, FACTORY.root_pem, optional=True) as home:
        home.file = b"bundle" * 100
        assert fetcher.ask(terms(home, tls, FACTORY.device(), download_auth=False)).op == "ok"
        assert fetcher.get(f"{home.url}/poll").op == "response"
        assert fetcher.serve(f"{home.url}/file", len(home.file)).read_at(0, 12) == b"bundlebundle"
        fetcher.source_channel.close()
        assert fetcher.answer().op == "served"
        assert [(visit.path, visit.who) for visit in home.visits] == [("/poll", "dev1"), ("/file", "")]


@pytest.mark.parametrize(
    ("identity", "why"),
    [
        ({"chain": FACTORY.device().chain, "key": FACTORY.device().key}, "the key does not belong to the certificate"),
        ({"chain": FACTORY.device().chain, "key": FACTORY.device().encrypted_key(b"p")}, ""),
        ({"chain": "no certificate", "key": FACTORY.device().key}, ""),
        ({"chain": FACTORY.device().chain, "key": ""}, ""),
    ],
    ids=["another key", "encrypted", "no certificate", "no key"],
)
def test_a_certificate_that_cannot_be_used_is_refused_before_any_connection(
    fetcher: Fetcher, tls: Tls, identity: dict[str, str], why: str
) -> None:
    error = error_of(fetcher.ask(terms(Doorman("https://127.0.0.1:1"), tls, None, identity=identity)))
    assert (error["code"], error["retryable"]) == ("net.client-cert", True)
    assert why in error["details"]
    assert "PRIVATE" not in str(error)


@pytest.mark.req("T25")
def test_the_key_is_never_a_file_that_others_could_open(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[tuple[str, int]] = []
    load = ssl.SSLContext.load_cert_chain

    def watched(context: ssl.SSLContext, chain: str, key: str, **more: Any) -> None:
        seen.append((os.readlink(key), os.stat(key).st_mode & 0o777))
        load(context, chain, key, **more)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", watched)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    before = set(os.listdir("/proc/self/fd"))
    device = FACTORY.device()
    make_context("", Identity(device.chain, device.key))
    assert seen == [("/memfd:key (deleted)", 0o600)]
    assert set(os.listdir("/proc/self/fd")) == before
    assert list(tmp_path.iterdir()) == []
    assert device.key not in repr(Identity(device.chain, device.key))


def test_a_key_without_its_certificate_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match=r"net\.client-cert"):
        make_context("", Identity("", FACTORY.device().key))

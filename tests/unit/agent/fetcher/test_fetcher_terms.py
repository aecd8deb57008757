"""Terms are complete or refused; secrets do not show; trust is ours alone."""

from __future__ import annotations

import ssl
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from agent.demo.server_tls import make_tls
from agent.errors import ConfigError, EnvironmentFault
from agent.fetcher import privileges
from agent.fetcher.failures import explain_failure
from agent.fetcher.patience import Meter
from agent.fetcher.terms import parse_terms
from agent.fetcher.tls import TlsAdapter, make_context
from agent.wire import WireError

GOOD: dict[str, Any] = {
    "origin": "https://h:8443",
    "ca_pem": "",
    "auth": {"scheme": "GatewayToken", "token": "s3cret"},
    "user": "nobody",
    "connect_timeout": 3,
    "read_timeout": 4.5,
}


def test_terms_are_read() -> None:
    terms = parse_terms(GOOD)
    assert (terms.home.host, terms.user, terms.connect_timeout, terms.read_timeout) == ("h", "nobody", 3.0, 4.5)
    assert terms.credentials is not None
    assert terms.credentials.header == "GatewayToken s3cret"
    assert (terms.slow_rate, terms.slow_time) == (1024.0, 30.0)


def test_rates_of_nothing_are_no_limits_and_the_largest_of_the_configuration_are_taken() -> None:
    assert (parse_terms({**GOOD, "slow_rate": 0}).slow_rate, parse_terms({**GOOD, "max_rate": 0}).max_rate) == (0, 0)
    assert parse_terms({**GOOD, "slow_rate": 2**63 - 1, "max_rate": 2**63 - 1}).max_rate == 2.0**63
    assert not Meter(0, 0.1).count(0, 5.0)


def test_a_login_for_the_proxy_and_a_key_do_not_show_in_a_representation() -> None:
    identity = {"chain": "c", "key": "s3cret"}
    terms = parse_terms({**GOOD, "proxy": "http://my_proxy:1", "proxy_login": "me:s3cret", "identity": identity})
    assert terms.proxy is not None
    assert terms.proxy.headers == {"Proxy-Authorization": "Basic bWU6czNjcmV0"}
    assert "s3cret" not in repr(terms)


def test_no_credentials_are_allowed() -> None:
    assert parse_terms({**GOOD, "auth": None}).credentials is None


@pytest.mark.req("C10")
def test_a_token_does_not_show_in_a_representation() -> None:
    assert "s3cret" not in repr(parse_terms(GOOD))


@pytest.mark.req("C10")
@pytest.mark.parametrize(
    "change",
    [
        {"auth": {"scheme": "Basic", "token": "s3cret"}},
        {"auth": {"scheme": "TargetToken", "token": "s3cret\r\nX: y"}},
        {"auth": {"scheme": "TargetToken", "token": ""}},
        {"auth": {"scheme": "TargetToken"}},
        {"auth": "s3cret"},
        {"origin": ""},
        {"origin": 5},
        {"ca_pem": None},
        {"connect_timeout": 0},
        {"connect_timeout": "s3cret"},
        {"read_timeout": float("nan")},
        {"read_timeout": True},
        {"slow_time": -1},
        {"max_rate": -1},
        {"slow_rate": "s3cret"},
        {"proxy": "http://me:s3cret@p:1"},
        {"proxy": "socks5://p:1"},
        {"proxy": "http://p:1", "proxy_login": "s3cret"},
        {"proxy": "http://p:1", "proxy_login": "me:s3cret\r\nX: y"},
        {"identity": "s3cret"},
        {"identity": {"chain": "c", "key": 5}},
    ],
)
def test_other_terms_are_refused_without_quoting_them(change: dict[str, Any]) -> None:
    with pytest.raises((WireError, EnvironmentFault)) as caught:
        parse_terms({**GOOD, **change})
    assert "s3cret" not in str(caught.value)


@pytest.mark.req("S10", "S11", "C10")
def test_only_the_configured_authority_is_trusted_and_verification_stays_on(tmp_path: Path) -> None:
    context = make_context(make_tls(tmp_path).ca_pem)
    connection = SimpleNamespace(cert_reqs=None, ca_certs="x", ca_cert_dir="y")
    TlsAdapter(context).cert_verify(connection, "https://h", verify=False, cert=None)
    assert (connection.cert_reqs, connection.ca_certs, connection.ca_cert_dir) == ("CERT_REQUIRED", None, None)
    assert len(context.get_ca_certs()) == 1
    assert context.check_hostname
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


@pytest.mark.req("S10")
@pytest.mark.parametrize("proxy", ["", "http://p:1", "https://p:1"])
@pytest.mark.parametrize("verify", [True, False, "/another/authority.pem"])
def test_every_connection_has_our_context_and_nothing_else_that_trusts(verify: bool | str, proxy: str) -> None:
    ours, theirs = make_context(""), make_context("")
    prepared = requests.Request("GET", "https://h/x").prepare()
    adapter = TlsAdapter(ours, theirs)
    pool = adapter.get_connection_with_tls_context(prepared, verify, {"https": proxy} if proxy else {})
    assert pool.conn_kw.pop("ssl_context") is ours
    assert not pool.ca_certs
    assert pool.cert_reqs in (None, "CERT_REQUIRED")
    assert pool.proxy_config is None or pool.proxy_config.ssl_context is theirs


@pytest.mark.parametrize(
    "pem", ["no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "é"]
)
def test_an_unreadable_authority_is_a_configuration_error(pem: str) -> None:
    with pytest.raises(ConfigError, match=r"net\.bad-ca"):
        make_context(pem)


def test_circular_exceptions_are_explained_too() -> None:
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert explain_failure(first, "https://h").code == "net.connect"


def test_an_unknown_user_is_an_explained_error() -> None:
    with pytest.raises(EnvironmentFault) as caught:
        privileges.become("no-such-user")
    assert caught.value.code == "net.user-unknown"
    with pytest.raises(EnvironmentFault, match=r"net\.privileges"):
        privileges.become("root")


@pytest.mark.req("C10")
@pytest.mark.root
def test_after_giving_up_root_secrets_cannot_be_read_and_root_does_not_come_back() -> None:
    script = """
import os
from agent.fetcher import privileges
privileges.harden()
privileges.become("nobody")
for attempt in (lambda: open("/etc/shadow"), lambda: os.setuid(0), lambda: os.setgroups([0])):
    try:
        attempt()
    except PermissionError:
        print("refused")
print(os.getresuid(), os.getgroups())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.split("\n")[:4] == ["refused"] * 3 + ["(65534, 65534, 65534) []"]


@pytest.mark.req("T25")
@pytest.mark.parametrize("user", ["", "nobody"])
def test_whoever_knows_the_secrets_can_neither_be_dumped_nor_traced(user: str) -> None:
    script = f"""
import ctypes
from agent.fetcher import privileges
privileges.harden()
privileges.become({user!r})
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))  # PR_GET_DUMPABLE
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "0\n"

"""The terms of a conversation are read afresh, and a certificate that is about to end is told of in time."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.identities import Factory

from agent.credentials import MAX_PEM
from agent.daemon.session import MAX_AUTHORITIES, Sessions, expiry
from agent.errors import ConfigError
from agent.fetcher.terms import parse_terms
from agent.wire import pair

DAY = 86400
FACTORY = Factory()


def sessions(tmp_path: Path, days: float = 300, wall: Any = time.time, **values: Any) -> Sessions:
    certificate, key = FACTORY.device(days=days).write(tmp_path)
    server: dict[str, Any] = {
        "url": "https://h:8443/base", "target_token_file": None, "gateway_token_file": None, "client_cert": certificate,
        "client_key": key, "ca_file": None, "proxy": "", "proxy_auth_file": None, "connect_timeout": 1.0,
        "read_timeout": 2.0, "download_auth": False, "max_rate": 5000, "slow_rate": 7, "slow_time": 8.0,
    }  # fmt: skip
    config = SimpleNamespace(server=SimpleNamespace(**server | values), fetcher=SimpleNamespace(user="nobody"))
    return Sessions(config, wall)  # type: ignore[arg-type]  # same shape


def test_what_is_configured_reaches_the_fetcher(tmp_path: Path) -> None:
    login = tmp_path / "login"
    login.touch(0o600)
    login.write_text("me:pass\n")
    session = sessions(tmp_path, proxy="http://p:3128", proxy_auth_file=login)()
    terms = parse_terms(session.opening())
    assert (terms.home.port, terms.user, terms.download_auth, terms.credentials) == (8443, "nobody", False, None)
    assert (terms.max_rate, terms.slow_rate, terms.slow_time) == (5000, 7, 8)
    assert terms.identity is not None
    assert terms.identity.key == (tmp_path / "device.key").read_text()
    assert terms.proxy is not None
    assert (terms.proxy.url, terms.proxy.login) == ("http://p:3128", "me:pass")
    assert not any(secret in repr((terms, session)) for secret in ("pass", "PRIVATE KEY"))


def test_a_limit_that_was_set_on_the_device_counts_instead_of_the_configured_one(tmp_path: Path) -> None:
    config = sessions(tmp_path)._config
    limit = [100]
    own = Sessions(config, time.time, lambda: limit[0])
    assert own().max_rate == 100
    limit[0] = 200
    assert own().max_rate == 200, "from the next conversation on"


def test_files_that_were_replaced_count_at_once(tmp_path: Path) -> None:
    make = sessions(tmp_path)
    first = make()
    FACTORY.device().write(tmp_path)
    assert make().identity != first.identity
    (tmp_path / "device.key").unlink()
    with pytest.raises(ConfigError, match=r"config\.client-key"):
        make()


@pytest.mark.parametrize(
    ("days", "text"), [(29.5, "expires in 29 days"), (0.5, "expires in 0 days"), (-3, "expired 3 days ago")]
)
def test_a_certificate_that_ends_soon_is_told_of_once_a_day(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, days: float, text: str
) -> None:
    now = time.time()
    make = sessions(tmp_path, days, lambda: now)
    caplog.set_level(logging.WARNING)
    make()
    make()
    assert [text in record.message for record in caplog.records] == [True]
    now += DAY + 1
    make()
    assert len(caplog.records) == 2


def test_the_largest_files_fit_into_one_message_and_larger_ones_are_refused(tmp_path: Path) -> None:
    authorities, line = tmp_path / "ca.pem", "x" * 62 + "\r\n"
    authorities.write_text(line * (MAX_AUTHORITIES // 64))
    login = tmp_path / "login"
    login.touch(0o600)
    login.write_text("\u00fc" * 255 + ":" + "\u00fc" * 255)
    make = sessions(tmp_path, ca_file=authorities, proxy=f"http://{'p' * 249}:65535", proxy_auth_file=login)
    (tmp_path / "device.pem").write_text("-----BEGIN CERTIFICATE-----\n" + line * (MAX_PEM // 64 - 1))
    (tmp_path / "device.key").write_text("-----BEGIN PRIVATE KEY-----\n" + line * (MAX_PEM // 64 - 1))
    near, far = pair("daemon", "fetcher")
    near.send(make().opening())
    frame = far.recv(5)
    assert frame is not None
    assert frame.op == "session"
    near.close()
    far.close()
    with authorities.open("a") as file:
        file.write("x")
    with pytest.raises(ConfigError, match=r"config\.ca-file"):
        make()


@pytest.mark.req("S10")
@pytest.mark.parametrize("left", ["", " \n"], ids=["empty", "blank"])
def test_a_ca_file_that_lost_its_content_does_not_stand_for_the_authorities_of_the_system(
    tmp_path: Path, left: str
) -> None:
    authorities = tmp_path / "ca.pem"
    authorities.write_text(left)
    with pytest.raises(ConfigError, match=r"config\.ca-file") as caught:
        sessions(tmp_path, ca_file=authorities)()
    assert str(authorities) in caught.value.details
    assert caught.value.retryable  # it may just be written


def test_a_certificate_that_is_valid_for_long_is_not_worth_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sessions(tmp_path, 31)()
    assert caplog.records == []


def test_the_end_of_a_certificate_is_what_the_library_says() -> None:
    from cryptography.x509 import load_pem_x509_certificate

    for days in (-100, 0, 5, 40_000):  # UTCTime, and GeneralizedTime behind 2049
        chain = FACTORY.device(days=days).chain
        assert expiry(chain) == load_pem_x509_certificate(chain.encode()).not_valid_after_utc.timestamp()


@pytest.mark.parametrize("chain", ["", "x", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate_has_no_end(chain: str) -> None:
    assert expiry(chain) is None

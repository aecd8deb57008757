"""PKCS#11 URIs by RFC 7512, and only those that say what is meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.bundler.pkcs11_uri import Pkcs11Uri, is_uri, parse_uri
from agent.errors import OtaError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pkcs11:", Pkcs11Uri()),
        ("PKCS11:object=key", Pkcs11Uri(object="key")),
        (
            "pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;manufacturer=Snake%20Oil,%20Inc.;model=1.0;"
            "object=my-certificate;type=cert;id=%69%95%3E%5C%F4%BD%EC%91;serial="
            "?pin-source=file:/etc/token_pin",  # from RFC 7512 section 3
            Pkcs11Uri(
                token="The Software PKCS#11 Softtoken",
                manufacturer="Snake Oil, Inc.",
                model="1.0",
                object="my-certificate",
                type="cert",
                id=bytes.fromhex("69953e5cf4bdec91"),
                pin_source="file:/etc/token_pin",
            ),
        ),
        (
            "pkcs11:object=k;x-vendor=1?module-path=/usr/lib/a&b".replace("&b", "%26b&pin-value=1%3B2&x-y=z"),
            Pkcs11Uri(object="k", module_path="/usr/lib/a&b", pin_value="1;2"),
        ),
    ],
)
def test_a_uri_is_taken_apart(text: str, expected: Pkcs11Uri) -> None:
    assert parse_uri(text) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("pkcs12:object=k", "start with 'pkcs11:'"),
        ("pkcs11:object", "'object'"),
        ("pkcs11:label=k", "'label'"),
        ("pkcs11:object=a;object=b", "twice"),
        ("pkcs11:object=%4", "hexadecimal"),
        ("pkcs11:object=%zz", "hexadecimal"),
        ("pkcs11:object=%ff", "UTF-8"),
        ("pkcs11:pin-value=1234", "'pin-value' before the '?'"),
        ("pkcs11:?object=k", "'object' after the '?'"),
        ("pkcs11:?pin-value=1&pin-source=/x", "exclude each other"),
        ("pkcs11:object=" + "a" * 5000, "4096"),
        ("pkcs11:object=a;", "''"),
    ],
)
def test_a_uri_that_is_not_understood_is_refused(text: str, why: str) -> None:
    with pytest.raises(OtaError) as caught:
        parse_uri(text)
    assert caught.value.code == "sign.uri-invalid"
    assert why in caught.value.details


def test_no_message_repeats_a_pin() -> None:
    assert "8765" not in parse_uri("pkcs11:token=t;id=%01?pin-value=8765").without_secrets
    with pytest.raises(OtaError) as caught:
        parse_uri("pkcs11:object=a;object=b?pin-value=8765")
    assert "8765" not in str(caught.value)


def test_a_path_is_no_uri() -> None:
    assert not is_uri("pkcs11.pem")
    assert not is_uri("./pkcs11:x")


@given(st.text(max_size=60))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        parse_uri("pkcs11:" + text)
    except OtaError as error:
        assert error.code == "sign.uri-invalid"  # noqa: PT017

"""Options of InstallBundle: what is passed on, and that nothing which switches a check off is taken."""

from __future__ import annotations

import pytest

from agent.errors import PolicyError
from agent.rauc.options import Wishes, require_file, wishes

HASH = "0123456789abcdef" * 4


def refused(options: dict[str, object]) -> PolicyError:
    with pytest.raises(PolicyError) as caught:
        wishes(options)
    return caught.value


def test_what_rauc_and_the_updater_always_send_is_let_pass() -> None:
    assert wishes({"ignore-compatible": False, "ignore-version-limit": False, "tls-no-verify": False}) == Wishes()


def test_a_digest_and_a_name_are_passed_on() -> None:
    assert wishes({"require-manifest-hash": HASH, "transaction-id": "t-1"}) == Wishes(HASH, "t-1")


@pytest.mark.parametrize("name", ["ignore-compatible", "ignore-version-limit", "tls-no-verify"])
def test_no_check_can_be_switched_off(name: str) -> None:
    error = refused({name: True})
    assert (error.code, error.brief) == ("rauc.option-refused", f"{name} does not exist here")


@pytest.mark.parametrize(
    ("name", "value"), [("http-headers", ["A: b"]), ("tls-ca", "/x"), ("tls-cert", "/x"), ("tls-key", "/x")]
)
def test_credentials_are_not_taken_from_a_caller(name: str, value: object) -> None:
    assert refused({name: value}).code == "rauc.option-refused"


@pytest.mark.parametrize("options", [{"colour": "red"}, {"ignore-compatible": "false"}, {"transaction-id": 7}])
def test_an_unknown_key_or_type_is_refused_in_raucs_words(options: dict[str, object]) -> None:
    error = refused(options)
    assert (error.code, error.brief) == ("rauc.option-unknown", f"Unsupported key: {next(iter(options))}")


@pytest.mark.parametrize(
    "options",
    [{"require-manifest-hash": HASH[1:]}, {"require-manifest-hash": HASH.upper()}, {"transaction-id": "a b"}],
)
def test_what_could_never_match_is_refused(options: dict[str, object]) -> None:
    assert refused(options).code == "rauc.option-invalid"


def test_a_path_stays_a_path() -> None:
    assert require_file("/media/a b%20.raucb") == "/media/a b%20.raucb"


def test_a_file_address_is_the_file_that_it_names() -> None:
    assert require_file("file:///media/a%20b.raucb") == "/media/a b.raucb"


@pytest.mark.parametrize("source", ["https://example.org/x.raucb", "HTTP://example.org", "file://host/x", "nbd+x://y"])
def test_an_address_is_refused_with_the_way_out(source: str) -> None:
    with pytest.raises(PolicyError) as caught:
        require_file(source)
    assert caught.value.code == "rauc.url"
    assert "stream_bundle=false" in caught.value.resolution


@pytest.mark.parametrize("source", ["update.raucb", "file:///media/a%00b", "file:///media/a\0b"])
def test_what_is_no_absolute_path_is_refused(source: str) -> None:
    with pytest.raises(PolicyError) as caught:
        require_file(source)
    assert caught.value.code == "install.path"

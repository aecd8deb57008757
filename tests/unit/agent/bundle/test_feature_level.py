"""Promises about ``min-rauc-version``."""

from __future__ import annotations

import pytest

from agent.bundle.manifest import parse_draft, parse_manifest
from agent.errors import BundleError


def manifest(wanted: str) -> bytes:
    return f"[update]\ncompatible=demo\nmin-rauc-version={wanted}\n".encode()


@pytest.mark.parametrize(
    "wanted", ["1.14", "1.15", "1.15.0", "1.13.1", "1.14.99", "1.15-rc1", "1.15.0-2+git", "01.014", "1.14+a-b"]
)
def test_a_bundle_that_needs_no_more_than_we_know_is_taken(wanted: str) -> None:
    assert parse_manifest(manifest(wanted)).min_rauc_version == wanted


@pytest.mark.parametrize("wanted", ["99", "1.16", "1.15.1", "2", "1.15.1-rc1", str((1 << 64) - 1)])
def test_a_bundle_that_needs_more_is_refused_by_a_code_of_its_own(wanted: str) -> None:
    with pytest.raises(BundleError) as caught:
        parse_manifest(manifest(wanted))
    assert caught.value.code == "bundle.needs-newer"
    assert wanted in caught.value.details
    assert "1.15" in caught.value.details


@pytest.mark.parametrize(
    "wanted",
    [
        "x",
        "1.x",
        "1..2",
        "1.15.0.1",
        "1.14-rc-1",
        "-1.14",
        "+1.14",
        ".14",
        "v1.14",
        "1,14",
        "1.14 ",
        str(1 << 64),
        "9" * 99,
        "1.13",
        "1.13.0",
        "1.13.0-rc1",
        "1.8",
        "0",
    ],
)
def test_what_is_no_version_or_older_than_the_key_is_invalid(wanted: str) -> None:
    with pytest.raises(BundleError) as caught:
        parse_manifest(manifest(wanted))
    assert caught.value.code == "bundle.manifest-invalid"
    assert "min-rauc-version" in caught.value.details


def test_a_draft_is_shown_whatever_it_needs() -> None:
    assert parse_draft(manifest("99")).min_rauc_version == "99"

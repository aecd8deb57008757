"""May this device install this bundle?"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.daemon.policy import Device, Offer, check, compare_versions, highest
from agent.errors import PolicyError

DEVICE = Device(compatible="acme", version="1.1.0", manifest_hash="", floor="1.0.0", allow_downgrade=False)
OFFER = Offer(compatible="acme", version="1.2.0", manifest_hash="aa")


def refusal(offer: Offer, device: Device) -> str:
    with pytest.raises(PolicyError) as caught:
        check(offer, device)
    assert caught.value.details or caught.value.resolution
    return caught.value.code


def test_a_newer_bundle_for_this_device_is_accepted() -> None:
    check(OFFER, DEVICE)


def test_the_running_version_may_be_installed_again() -> None:
    check(replace(OFFER, version="1.1.0"), DEVICE)


@pytest.mark.req("T03")
def test_a_bundle_for_another_device_is_refused() -> None:
    assert refusal(replace(OFFER, compatible="acme-2"), DEVICE) == "policy.incompatible"


@pytest.mark.req("T01", "T03")
def test_a_check_of_the_bundle_itself_replaces_the_comparison_of_names_and_nothing_else() -> None:
    other = replace(OFFER, compatible="acme-2")
    check(other, DEVICE, own_check=True)
    with pytest.raises(PolicyError) as caught:
        check(replace(other, version="1.0.9"), DEVICE, own_check=True)
    assert caught.value.code == "policy.older"


@pytest.mark.req("S06", "T01")
def test_an_older_version_is_refused() -> None:
    assert refusal(replace(OFFER, version="1.0.9"), DEVICE) == "policy.older"


@pytest.mark.req("S06", "T01")
def test_the_floor_holds_even_where_going_back_is_allowed() -> None:
    device = replace(DEVICE, allow_downgrade=True)
    check(replace(OFFER, version="1.0.0"), device)
    assert refusal(replace(OFFER, version="0.9"), device) == "policy.below-floor"


@pytest.mark.req("S06")
def test_a_bundle_without_a_version_cannot_prove_that_it_is_not_older() -> None:
    assert refusal(replace(OFFER, version=""), DEVICE) == "policy.no-version"


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("1.0.0", "1.1.0"), ("1.9", "1.10"), ("1.2.0-rc.1", "1.2.0"), ("1.2.0-rc.2", "1.2.0-rc.10"),
        ("1.2.0-alpha", "1.2.0-beta"), ("1.2.0-1", "1.2.0-alpha"), ("1", "1.0.1"), ("2026.9", "2026.11"),
        ("v1", "v2"), ("r9", "r10"), ("1.0~rc1", "1.0"), ("1.0.0_a", "1.0.0_b"), ("", "1"), ("v1-2", "v1.2"),
    ],
)  # fmt: skip
def test_versions_are_ordered_as_people_expect(older: str, newer: str) -> None:
    assert compare_versions(older, newer) < 0 < compare_versions(newer, older)


@pytest.mark.parametrize(("one", "two"), [("1.0", "1.0.0"), ("1.0+a", "1.0+b"), ("v01", "v1")])
def test_versions_that_say_the_same_are_equal(one: str, two: str) -> None:
    assert compare_versions(one, two) == 0 == compare_versions(two, one)


SEMANTIC = st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){0,2}(-[a-z0-9]{1,3}(\.[a-z0-9]{1,3})?)?", fullmatch=True)
FREE = st.text(alphabet="abzAZ019.~^-_+ ", max_size=12)


@given(st.one_of(st.lists(SEMANTIC, min_size=3, max_size=3), st.lists(FREE.map("v".__add__), min_size=3, max_size=3)))
def test_the_order_is_total_within_one_scheme(versions: list[str]) -> None:
    one, two, three = versions
    assert compare_versions(one, one) == 0
    assert compare_versions(one, two) == -compare_versions(two, one)
    if compare_versions(one, two) <= 0 and compare_versions(two, three) <= 0:
        assert compare_versions(one, three) <= 0


def test_the_highest_of_several_versions_is_found() -> None:
    assert highest("", "1.2", "1.10", "") == "1.10"
    assert highest("", "") == ""

"""May this device install this bundle? Pure: facts in, refusal out.

Two semantic versions (semver.org 2.0.0, also with fewer than three numbers, as RAUC's ``min-bundle-version`` takes them)
are compared by its rules; anything else by the UAPI Group's Version Format Specification (UAPI.10), which orders free text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from agent.errors import PolicyError

_SEPARATORS = re.compile(r"^[^A-Za-z0-9.~^-]+")
_SEMVER = re.compile(r"([0-9]{1,9})(?:[.]([0-9]{1,9}))?(?:[.]([0-9]{1,9}))?(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?")
_DIGITS, _LETTERS = re.compile("[0-9]*"), re.compile("[A-Za-z]*")
_MAX_VERSION = 200


@dataclass(frozen=True, slots=True)
class Offer:
    """What the signed manifest says."""

    compatible: str
    version: str
    manifest_hash: str


@dataclass(frozen=True, slots=True)
class Device:
    """What this device is.

    ``version`` and ``manifest_hash`` are those of the running slot (empty when unknown); ``floor`` is the lowest version
    that may be installed, the highest of the configuration's and the confirmed bundles' signed minimum.
    """

    compatible: str
    version: str
    manifest_hash: str
    floor: str
    allow_downgrade: bool


def check(offer: Offer, device: Device, *, own_check: bool = False) -> None:
    """Refuses what must not be installed.

    Args:
        offer: what the bundle is.
        device: what the device is.
        own_check: the bundle brings a check that takes the place of comparing ``compatible``; nothing else changes.

    Raises:
        PolicyError: ``policy.incompatible``, ``policy.below-floor``, ``policy.older`` or ``policy.no-version``.
    """
    if offer.compatible != device.compatible and not own_check:
        raise PolicyError(
            "policy.incompatible",
            "the bundle is for another kind of device",
            details=f"it is for {offer.compatible!r}, this device is {device.compatible!r}",
            resolution="deploy the bundle that was built for this device",
        )
    if not offer.version and (device.floor or device.version) and not device.allow_downgrade:
        raise PolicyError(
            "policy.no-version", "the bundle has no version, so it may be older than what runs",
            resolution="set version= in the manifest's [update] section",
        )  # fmt: skip
    if device.floor and compare_versions(offer.version, device.floor) < 0:
        raise PolicyError(
            "policy.below-floor",
            "the bundle is older than the oldest version this device accepts",
            details=f"it is {offer.version}, the floor is {device.floor}",
            resolution="deploy a version at or above the floor; the floor never goes down",
        )
    if device.version and not device.allow_downgrade and compare_versions(offer.version, device.version) < 0:
        raise PolicyError(
            "policy.older",
            "the bundle is older than the system that runs",
            details=f"it is {offer.version}, running is {device.version}",
            resolution="deploy a newer version, or set update.allow-downgrade where going back is intended",
        )


def highest(*versions: str) -> str:
    """The newest of several versions; empty ones count as older than everything."""
    best = ""
    for version in versions:
        if version and (not best or compare_versions(version, best) > 0):
            best = version
    return best


def compare_versions(left: str, right: str) -> int:
    """Returns a negative number, zero or a positive number when ``left`` is older than, as old as, newer than ``right``."""
    left, right = left[:_MAX_VERSION], right[:_MAX_VERSION]
    one, two = _SEMVER.fullmatch(left), _SEMVER.fullmatch(right)
    if one and two:
        first, second = _semantic(one), _semantic(two)
        return (first > second) - (first < second)
    return _compare_free(left, right)


def _semantic(match: re.Match[str]) -> tuple[tuple[int, ...], bool, tuple[tuple[bool, int, str], ...]]:
    # semver 11: a release is newer than its pre-releases; numeric identifiers are older than alphanumeric ones.
    numbers = tuple(int(part or 0) for part in match.group(1, 2, 3))
    identifiers = match.group(4).split(".") if match.group(4) else []
    ranks = tuple((not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in identifiers)
    return numbers, not identifiers, ranks


def _compare_free(a: str, b: str) -> int:
    while True:
        a, b = _SEPARATORS.sub("", a), _SEPARATORS.sub("", b)
        mark = next((mark for mark in "~-^." if mark in (a[:1], b[:1])), "")
        if mark and a[:1] == b[:1]:
            a, b = a[1:], b[1:]
        elif mark == "~" or (mark and a and b):
            return -1 if a[:1] == mark else 1
        elif not a or not b:
            return bool(a) - bool(b)
        else:
            numeric = a[0].isdigit() or b[0].isdigit()
            pattern = _DIGITS if numeric else _LETTERS
            first, second = pattern.match(a).group(), pattern.match(b).group()  # type: ignore[union-attr]  # matches ""
            order = _compare_numbers(first, second) if numeric else (first > second) - (first < second)
            if order:
                return order
            a, b = a[len(first) :], b[len(second) :]


def _compare_numbers(first: str, second: str) -> int:
    if not first or not second:  # a number is newer than a letter
        return bool(first) - bool(second)
    one, two = int(first), int(second)
    return (one > two) - (one < two)

"""Promises about what a person sees of an update that waits, and of the policy."""

from __future__ import annotations

import pytest

from agent.cli.notice import policy_row
from agent.cli.status import status_lines

NOW = 1_000_000.0
UPDATE: dict[str, object] = {
    "Available": True, "Version": "2.0.0", "Fixes": ["CVE-2027-1"], "AdvisoryUrl": "https://example.org/a.json",
    "Deadline": int(NOW) + 3 * 86400, "PostponeRemaining": 0, "DefersLeft": 2,
    "Notice": {"line": "Update 2.0.0 (security, high) waits for the maintenance window", "verified": "true",
               "postponable": "86400"},
}  # fmt: skip


def shown(**changes: object) -> list[str]:
    return status_lines({"State": "waiting", "Update": {**UPDATE, **changes}}, NOW)[3:]


@pytest.mark.req("C06", "C07")
def test_an_update_that_waits_is_shown_with_what_can_be_decided() -> None:
    assert shown() == [
        "notice    Update 2.0.0 (security, high) waits for the maintenance window",
        "fixes     CVE-2027-1",
        "advisory  https://example.org/a.json",
        "by itself in 3 d at the latest",
        "later     2 times more, up to 24 h at once: ota-agent postpone",
    ]


def test_a_postponement_says_how_it_ends() -> None:
    assert "postponed for 2 h: ota-agent install-now ends that" in shown(PostponeRemaining=7200)


def test_what_cannot_be_postponed_any_more_is_not_offered_to_be() -> None:
    assert not [line for line in shown(DefersLeft=0) if line.startswith("later")]


def test_a_bundle_that_nobody_has_looked_at_says_so() -> None:
    told = {"line": "Update 2.0.0 waits for consent: ota-agent approve", "verified": "false"}
    assert shown(Notice=told)[0].endswith("ota-agent approve (not verified yet)")


def test_many_fixes_are_counted() -> None:
    assert shown(Fixes=[f"CVE-{n}" for n in range(6)])[1] == "fixes     CVE-0, CVE-1, CVE-2, CVE-3, and 2 more"


def test_without_an_update_there_is_no_notice() -> None:
    assert shown(Available=False) == []


@pytest.mark.parametrize(
    "junk", [{"Update": 1}, {"Update": {"Available": True}}, {"Policy": "x"}, {"Policy": {"Windows": 3}}]
)
def test_what_another_version_of_the_daemon_says_does_no_harm(junk: dict[str, object]) -> None:
    assert status_lines({"State": "idle", **junk}, NOW)


@pytest.mark.req("C05")
@pytest.mark.parametrize(
    ("policy", "text"),
    [
        ({"AutoSecurityUpdates": True, "AutoFunctionalityUpdates": True, "Approval": "auto", "Windows": []}, ""),
        ({"AutoSecurityUpdates": False}, "no update is installed by itself: ota-agent auto on"),
        ({"AutoFunctionalityUpdates": False}, "only security updates are installed by themselves"),
        ({"Approval": "ask-install"}, "each is asked about"),
        ({"Windows": ["Mon-Fri 02:00-05:00"], "TimeZone": "Europe/Berlin"}, "in Mon-Fri 02:00-05:00 (Europe/Berlin)"),
    ],
)
def test_the_policy_is_told_where_somebody_has_decided_something(policy: dict[str, object], text: str) -> None:
    assert policy_row(policy) == ("policy", text)

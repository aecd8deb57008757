"""What a user changes of the policy: checked as in a file, kept over restarts, taken back as a whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.pretend import FULL, POLICY, Disk

from agent.config import PolicySettings
from agent.consent.changes import Changes, zone_of
from agent.errors import ConfigError, OtaError, PolicyError


def changes(disk: Disk, configured: PolicySettings = POLICY) -> Changes:
    store: Any = disk
    return Changes(configured, 1000, store)


@pytest.mark.req("C05")
def test_an_opt_out_is_one_setting_and_outlasts_a_restart_and_another_slot() -> None:
    disk = Disk()
    changes(disk).set("auto-security", False)
    assert not changes(disk).policy.auto_security
    changes(disk).set("AutoSecurityUpdates", True)
    assert changes(disk).policy.auto_security


def test_only_what_was_changed_is_kept_so_that_new_defaults_arrive() -> None:
    disk = Disk()
    changes(disk).set("metered", "avoid")
    assert disk.documents["policy"]["changes"] == {"metered": "avoid"}
    now = changes(disk, replace(POLICY, approval="ask-install")).policy
    assert (now.metered, now.approval) == ("avoid", "ask-install")


def test_a_reset_takes_everything_back() -> None:
    disk = Disk()
    seen = changes(disk)
    seen.set("windows", ["Mon-Fri 02:00-05:00"])
    seen.set("bandwidth-limit", 500)
    assert (seen.policy.windows, seen.max_rate) == (("Mon-Fri 02:00-05:00",), 500)
    seen.reset()
    assert (seen.policy, seen.max_rate) == (POLICY, 1000)
    assert changes(disk).policy == POLICY


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("profile", "managed", "policy.unknown"),  # the manufacturer's word
        ("postpone-count", 1000, "policy.unknown"),
        ("auto-security", "no", "policy.invalid"),
        ("approval", "never", "policy.invalid"),
        ("windows", ["whenever"], "policy.invalid"),
        ("windows", "02:00-05:00", "policy.invalid"),
        ("time-zone", "../../etc/passwd", "policy.invalid"),
        ("bandwidth-limit", -1, "policy.invalid"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(name: str, value: object, code: str) -> None:
    disk = Disk()
    seen = changes(disk)
    with pytest.raises(PolicyError) as caught:
        seen.set(name, value)
    assert caught.value.code == code
    assert (seen.policy, disk.documents) == (POLICY, {})


def test_a_time_zone_that_the_system_does_not_know_is_refused_where_it_matters() -> None:
    seen = changes(Disk())
    seen.set("time-zone", "Mars/Olympus")
    with pytest.raises(PolicyError) as caught:
        seen.set("windows", ["02:00-05:00"])
    assert caught.value.code == "policy.time-zone"
    assert seen.policy.windows == ()
    with pytest.raises(ConfigError):
        changes(Disk(), replace(POLICY, windows=("02:00-05:00",), time_zone="Mars/Olympus"))


def test_the_systems_time_zone_is_there() -> None:
    assert zone_of("") is not None


def test_a_change_that_cannot_be_kept_is_none() -> None:
    disk = Disk()
    seen = changes(disk)
    disk.full = True
    with pytest.raises(OtaError) as caught:
        seen.set("auto-security", False)
    assert caught.value.code == FULL.code
    assert seen.policy.auto_security


@pytest.mark.req("C05")
@pytest.mark.parametrize(
    "damage", [{"schema": 2}, {"schema": 1, "changes": []}, {"schema": 1, "changes": {"approval": 5}}]
)
def test_where_an_opt_out_may_have_been_lost_every_update_needs_consent(damage: dict[str, object]) -> None:
    disk = Disk()
    disk.documents["policy"] = damage
    seen = changes(disk)
    assert seen.policy.approval == "ask-install"
    changes(disk).set("metered", "avoid")
    assert changes(disk).policy.approval == "ask-install", (
        "until somebody sets it again, however often the agent starts"
    )
    seen = changes(disk)
    seen.set("approval", "auto")
    assert changes(disk).policy.approval == "auto"


@pytest.mark.req("C05")
def test_an_opt_out_is_not_lost_with_the_value_beside_it() -> None:
    disk = Disk()
    disk.documents["policy"] = {"schema": 1, "changes": {"metered": "sometimes", "auto-security": False}}
    assert not changes(disk).policy.auto_security


def test_a_policy_that_cannot_be_read_asks_for_no_less_than_the_configuration() -> None:
    disk = Disk()
    disk.damaged["policy"] = b"\0" * 100
    assert changes(disk, replace(POLICY, approval="ask-download")).policy.approval == "ask-download"
    assert disk.aside["policy"] == b"\0" * 100


def test_a_users_time_zone_that_a_new_system_does_not_know_does_not_stop_the_agent() -> None:
    disk = Disk()
    seen = changes(disk)
    seen.set("time-zone", "Mars/Olympus")
    now = changes(disk, replace(POLICY, windows=("02:00-05:00",), time_zone="UTC"))
    assert (now.policy.time_zone, now.policy.approval) == ("UTC", "ask-install")


def test_what_a_newer_agent_has_kept_does_not_matter() -> None:
    disk = Disk()
    disk.documents["policy"] = {"schema": 1, "changes": {"mood": "good", "metered": "avoid"}}
    assert changes(disk).policy == replace(POLICY, metered="avoid")


def test_the_properties_are_those_of_the_interface() -> None:
    seen = changes(Disk())
    seen.set("windows", ["02:00-05:00"])
    assert seen.properties() == {
        "Policy.AutoSecurityUpdates": True, "Policy.AutoFunctionalityUpdates": True, "Policy.Approval": "auto",
        "Policy.Windows": ["02:00-05:00"], "Policy.TimeZone": "", "Policy.Metered": "allow", "Policy.BandwidthLimit": 1000,
    }  # fmt: skip


def test_relative_names_of_a_configuration_start_at_its_file(tmp_path: Path) -> None:
    from agent.config_policy import POLICY_SETTINGS

    row = next(row for row in POLICY_SETTINGS if row.key == "busy-file")
    assert row.kind.accept("busy", tmp_path) == tmp_path / "busy"

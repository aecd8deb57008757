"""Who may have what done: decided by the polkit of the system, or where there is none by a group."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.nspawn.device import Device

from agent.daemon.dbus_names import BUS_NAME, MANAGER, OBJECT_PATH

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.req("T25")]
ACTIONS = {"check", "install", "cancel", "consent", "policy", "scrub", "mark", "audit"}
# What an administrator writes: this user may have the server asked, whoever sits in front of the device.
RULE = """
polkit.addRule(function(action, subject) {
    if (action.id == "org.otaagent.agent1.check" && subject.user == "member") return polkit.Result.YES;
});
"""
# An empty file hides the real one: nobody can start polkit.
NO_POLKIT = {"usr/share/dbus-1/system-services/org.freedesktop.PolicyKit1.service": ""}


@pytest.fixture(scope="module")
def ruled(room: Path, base: Path) -> Iterator[Device]:
    with Device(room / "ruled", base, files={"etc/polkit-1/rules.d/50-ota-agent.rules": RULE}) as device:
        device.power_on()
        yield device


def called(device: Device, user: str, method: str, *arguments: str) -> str:
    """Calls a method as a user; empty when it was done, else what busctl says."""
    done = device.machine.ask("busctl", "call", BUS_NAME, OBJECT_PATH, MANAGER, method, *arguments, user=user)
    return done.stderr.strip() or "refused" if done.returncode else ""


def test_polkit_knows_every_action(ruled: Device) -> None:
    known = ruled.machine.run("pkaction").split()
    assert {name for name in known if name.startswith("org.otaagent.")} == {
        f"org.otaagent.agent1.{action}" for action in ACTIONS
    }


@pytest.mark.parametrize("method", [("Check",), ("Cancel",), ("Scrub", "s", ""), ("Install", "s", "/tmp/x.raucb")])
def test_somebody_without_a_session_and_without_a_rule_is_refused(ruled: Device, method: tuple[str, ...]) -> None:
    text = called(ruled, "person", *method)
    assert "refused" in text.lower() or "denied" in text.lower(), text


def test_a_rule_allows_what_it_names_and_nothing_else(ruled: Device) -> None:
    assert called(ruled, "member", "Check") == ""
    assert called(ruled, "member", "Scrub", "s", "") != ""


def test_a_refusal_is_in_the_journal_with_the_one_who_was_refused(ruled: Device) -> None:
    called(ruled, "person", "Cancel")
    assert "4711" in ruled.machine.said("_SYSTEMD_UNIT=ota-agent.service")


def test_without_polkit_members_of_the_group_may_and_nobody_else(make_device: Callable[..., Device]) -> None:
    device = make_device(files=NO_POLKIT)
    device.power_on()
    assert called(device, "member", "Check") == ""
    assert called(device, "person", "Check") != ""
    assert not device.machine.ask("pidof", "polkitd").stdout

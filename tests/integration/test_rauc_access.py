"""Who may do what over RAUC's interface: the same as at the agent itself, with the real polkit and without.

The facade has a user of its own, as in its unit; ``bin`` stands for it, because that one exists everywhere.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from support import system_bus
from support.facade import ENTRY
from support.rauc_bus import wait_for_name
from support.system_bus import GROUP_ID, USERS, agent_on, polkit_on

from agent.rauc.names import BUS_NAME, INSTALLER

SYSTEMD = Path(__file__).parents[2] / "systemd"
POLKIT = "/usr/share/dbus-1/system.d/org.freedesktop.PolicyKit1.conf"
FACADE = 2  # bin
# Who may install here: the user that is a member of the group. The facade's own rule comes with it.
RULE = """polkit.addRule(function (action, subject) {
    if (action.id == "org.otaagent.agent1.install" && subject.user == "daemon") return polkit.Result.YES;
});
"""
CALLS = {
    "GetSlotStatus": (), "GetPrimary": (), "InstallBundle": ("sa{sv}", "/x", "0"), "Install": ("s", "/x"),
    "Mark": ("ss", "good", "booted"),
}  # fmt: skip
CHANGES = {"InstallBundle", "Install", "Mark"}

pytestmark = [pytest.mark.root, pytest.mark.req("T25", "C09")]


def for_bin(text: str) -> str:
    return text.replace("ota-rauc", "bin")


@contextmanager
def facade_on(address: str, folder: Path) -> Iterator[None]:
    """As its user and with its group, in a mount namespace where that group exists."""
    groups = folder / "group"
    groups.write_text(f"root:x:0:\nbin:x:2:\nota-agent:x:{GROUP_ID}:\n")
    user = ["setpriv", f"--reuid={FACADE}", f"--regid={FACADE}", f"--groups={GROUP_ID}", "--no-new-privs"]
    command = ["sh", "-c", f'mount --bind {groups} /etc/group && exec "$@"', "sh", *user, "--inh-caps=-all"]
    with subprocess.Popen(
        ["unshare", "--mount", *command, sys.executable, "-I", str(ENTRY), "rauc-service"],
        env={"PATH": "/usr/bin:/bin", "OTA_AGENT_BUS": address}, stderr=subprocess.DEVNULL, cwd="/",
    ) as process:  # fmt: skip
        try:
            wait_for_name(address, BUS_NAME)
            yield
        finally:
            process.kill()


@contextmanager
def device(*, polkit: bool) -> Iterator[str]:
    """A system bus with both services and their policies; yields its address."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        folder.chmod(0o755)
        policy, actions = folder / f"{BUS_NAME}.conf", folder / "org.otaagent.Agent1.policy"
        policy.write_text(for_bin((SYSTEMD / policy.name).read_text()))
        actions.write_text(for_bin(system_bus.ACTIONS.read_text()))
        patch.setattr(system_bus, "ACTIONS", actions)
        rules = RULE + for_bin((SYSTEMD / "ota-agent-rauc.rules").read_text())
        includes = "".join(f"<include>{each}</include>" for each in (policy, *([POLKIT] if polkit else [])))
        with ExitStack() as stack:
            address = stack.enter_context(system_bus.system_bus(includes))
            if polkit:
                stack.enter_context(polkit_on(address, rules))
            stack.enter_context(agent_on(address))
            stack.enter_context(facade_on(address, folder))
            yield address


@pytest.fixture(scope="module")
def without_polkit() -> Iterator[str]:
    with device(polkit=False) as address:
        yield address


@pytest.fixture(scope="module")
def with_polkit() -> Iterator[str]:
    with device(polkit=True) as address:
        yield address


def busctl(address: str, user: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    uid, groups = USERS[user]
    who: dict[str, Any] = {"user": uid, "group": uid, "extra_groups": groups} if uid else {}
    command = ["busctl", f"--address={address}", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=30, **who)


def denied(address: str, user: str) -> set[str]:
    """The methods that this user may not call."""
    said = {
        method: busctl(address, user, "call", BUS_NAME, "/", INSTALLER, method, *arguments).stderr
        for method, arguments in CALLS.items()
    }
    return {method for method, text in said.items() if "Access denied" in text}  # how busctl tells that error


@pytest.mark.parametrize(("user", "refused"), [("root", set()), ("member", set()), ("other", CHANGES)])
def test_without_polkit_root_and_the_group_change_something(without_polkit: str, user: str, refused: set[str]) -> None:
    assert denied(without_polkit, user) == refused


@pytest.mark.parametrize(("user", "refused"), [("root", set()), ("member", {"Mark"}), ("other", CHANGES)])
def test_with_polkit_its_rules_decide_about_the_caller(with_polkit: str, user: str, refused: set[str]) -> None:
    assert denied(with_polkit, user) == refused


@pytest.mark.parametrize("user", ["root", "member", "other"])
def test_everybody_reads_the_properties_and_nobody_sets_them(without_polkit: str, user: str) -> None:
    read = busctl(without_polkit, user, "get-property", BUS_NAME, "/", INSTALLER, "Operation")
    assert (read.returncode, read.stdout[:3]) == (0, 's "')
    assert busctl(without_polkit, user, "set-property", BUS_NAME, "/", INSTALLER, "Operation", "s", "x").returncode != 0


def test_everybody_may_have_a_bundle_inspected(without_polkit: str) -> None:
    done = busctl(without_polkit, "other", "call", BUS_NAME, "/", INSTALLER, "InspectBundle", "sa{sv}", "/x", "0")
    assert "[config.missing]" in done.stderr, "the inspector has looked, and there is no configuration here"


def test_nobody_but_its_user_has_the_name_of_rauc(without_polkit: str) -> None:
    for user in ("root", "other"):
        bus = "org.freedesktop.DBus"
        done = busctl(
            without_polkit, user, "call", bus, f"/{bus.replace('.', '/')}", bus, "RequestName", "su", BUS_NAME, "2"
        )
        assert done.returncode != 0


def test_what_was_permitted_reaches_the_agent(with_polkit: str) -> None:
    """Its own user may do at the agent what it passes on: otherwise nobody would get anything done."""
    busctl(with_polkit, "member", "call", BUS_NAME, "/", INSTALLER, "Install", "s", "/x.raucb")
    operation = busctl(with_polkit, "other", "get-property", BUS_NAME, "/", INSTALLER, "Operation").stdout
    assert operation == 's "installing"\n', "only what the agent has taken is under way"

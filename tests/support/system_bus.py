"""The system bus of a device: the bus's own rules, our policy file, the service, and the real polkit or none.

What lies in fixed places is put there in a mount namespace: our polkit actions and a rule, and the group ``ota-agent``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from agent.daemon.dbus_names import BUS_NAME
from support.bus import SYSTEM_POLICY, bus_process

ROOT = Path(__file__).parents[2]
POLICY = ROOT / "systemd" / "org.otaagent.Agent1.conf"
ACTIONS = ROOT / "systemd" / "org.otaagent.Agent1.policy"
_POLKITD = "/usr/lib/polkit-1/polkitd"
_POLKIT_POLICY = "<include>/usr/share/dbus-1/system.d/org.freedesktop.PolicyKit1.conf</include>"
# For somebody else in polkit's place.
POLKIT_OPEN = """<policy context="default">
  <allow own="org.freedesktop.PolicyKit1"/><allow send_destination="org.freedesktop.PolicyKit1"/>
</policy>"""
GROUP_ID = 64_999
# Users as number of user and group, and further groups. The bus lets in whom the user database knows: daemon and nobody.
USERS: dict[str, tuple[int, list[int]]] = {"root": (0, []), "member": (1, [GROUP_ID]), "other": (65_534, [])}


@contextmanager
def system_bus(policy: str = "") -> Iterator[str]:
    """A bus with the rules of a system bus, our own and some more; yields its address."""
    rules = f"<type>system</type>{SYSTEM_POLICY}<include>{POLICY}</include>{policy}"
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)  # other users must reach the socket
        with bus_process(directory, rules) as (address, _process):
            yield address


@contextmanager
def agent_on(address: str, *, with_group: bool = True) -> Iterator[subprocess.Popen[str]]:
    """The service in a process of its own, where the group ``ota-agent`` exists or not."""
    with tempfile.TemporaryDirectory() as name:
        groups = Path(name) / "group"
        groups.write_text("root:x:0:\n" + (f"ota-agent:x:{GROUP_ID}:\n" if with_group else ""))
        with _inside({groups: "/etc/group"}, [sys.executable, "-m", "support.dbus_server", address]) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", "the server did not start"
            yield process


@contextmanager
def polkit_on(address: str, rule: str = "") -> Iterator[None]:
    """The real polkitd, with our actions alone and one rule."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        actions, rules = Path(name) / "actions", Path(name) / "rules"
        for each in (Path(name), actions, rules):
            each.mkdir(exist_ok=True)
            each.chmod(0o755)  # polkitd gives up root
        (actions / ACTIONS.name).write_bytes(ACTIONS.read_bytes())
        (rules / "50-test.rules").write_text(rule)
        places = {actions: "/usr/share/polkit-1/actions", rules: "/etc/polkit-1/rules.d"}
        stack.enter_context(_inside(places, [_POLKITD, "--no-debug"], DBUS_SYSTEM_BUS_ADDRESS=address))
        wait_for_name(address, "org.freedesktop.PolicyKit1")
        yield


@contextmanager
def agent_with_polkit(rule: str = "") -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """All of it; yields the address and the service."""
    with system_bus(_POLKIT_POLICY) as address, polkit_on(address, rule), agent_on(address) as process:
        yield address, process


def wait_for_name(address: str, name: str) -> None:
    """Waits until somebody has a name on the bus."""
    subprocess.run(["gdbus", "wait", f"--address={address}", "--timeout=20", name], check=True, capture_output=True)


def calls_as(address: str, user: str, calls: Sequence[tuple[str, str, str, list[Any]]], at_once: int = 5) -> list[str]:
    """Makes calls as a user, some of them under way at the same time.

    Args:
        address: of the bus.
        user: of ``USERS``.
        calls: interface, method, signature, and the arguments; 0 in place of a descriptor, which is one of /dev/null.
        at_once: how many are under way at the same time.

    Returns:
        For each an empty text, or the last part of the error's name.
    """
    uid, groups = USERS[user]
    done = subprocess.run(
        [sys.executable, "-m", "support.bus_caller", address, str(uid), json.dumps(groups), str(at_once)],
        check=True, input=json.dumps(calls), capture_output=True, text=True, env=_environment(), timeout=60,
    )  # fmt: skip
    answers: list[str] = json.loads(done.stdout)
    return answers


def request_name(address: str, user: str) -> str:
    """Has a user try to take our name; what the bus answers, or the last part of its error's name."""
    uid, _ = USERS[user]
    bus = "org.freedesktop.DBus"
    command = ["dbus-send", f"--bus={address}", "--print-reply=literal", f"--dest={bus}", "/", f"{bus}.RequestName"]
    who = {"user": uid, "group": uid, "extra_groups": []} if uid else {}
    done = subprocess.run(
        [*command, f"string:{BUS_NAME}", "uint32:6"], check=False, capture_output=True, text=True, timeout=20, **who
    )  # type: ignore[call-overload]
    if done.returncode:
        return str(done.stderr).partition(":")[0].rpartition(".")[2]
    return str(done.stdout).split()[-1]


@contextmanager
def broken_polkit_on(address: str, how: str) -> Iterator[None]:
    """Somebody with polkit's name who is ``silent``, ``refusing``, or answers ``nonsense``."""
    command = [sys.executable, "-m", "support.broken_polkit", address, how]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=_environment()) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield
        finally:
            process.kill()


@contextmanager
def waiting_as(address: str, user: str, calls: Sequence[tuple[str, str, str, list[Any]]]) -> Iterator[None]:
    """A process of a user with calls of which some are not answered yet; it is there when the first one is."""
    uid, groups = USERS[user]
    argv = [sys.executable, "-m", "support.bus_caller", address, str(uid), json.dumps(groups), str(len(calls))]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=_environment()
    ) as process:
        try:
            assert process.stdin is not None
            assert process.stderr is not None
            process.stdin.write(json.dumps(calls))
            process.stdin.close()
            assert process.stderr.readline() == "first\n"
            yield
        finally:
            process.kill()


@contextmanager
def _inside(places: dict[Path, str], command: Sequence[str], **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Runs a command where files lie in other places."""
    mounts = " && ".join(f"mount --bind {own} {place}" for own, place in places.items())
    with subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", f'{mounts} && exec "$@"', "sh", *command],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**_environment(), **environment}, cwd="/",
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}

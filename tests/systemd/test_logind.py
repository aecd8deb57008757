"""A restart is asked of the real logind: the double of tests/unit/agent/daemon/test_restart.py behaves like this one."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from support.nspawn.device import Device
from support.nspawn.image import HOME
from support.nspawn.machine import REBOOT

pytestmark = [pytest.mark.root, pytest.mark.slow]
_RESTART = f"""
import json, subprocess, sys, time
sys.path.insert(0, {HOME!r})
from agent.bus.calls import Bus
from agent.daemon.restart import Restart
waits, told = [], []
def pause(seconds):
    if told:
        print(json.dumps({{"waited": len(waits), "warning": told[0]}}), flush=True)
    else:
        waits.append(seconds)
        subprocess.run(["systemctl", "stop", "backup.service"], check=False)
    time.sleep(min(seconds, 0.1))
Restart((), Bus("system"), warning=3, patience=60, pause=pause, announce=told.append)()
"""


@pytest.mark.req("C07")
def test_it_waits_for_who_blocks_it_and_warns_who_is_logged_in_before_it_ends_every_unit(
    make_device: Callable[..., Device],
) -> None:
    device = make_device()
    device.power_on()
    machine = device.machine
    login = ("--setenv=XDG_SESSION_CLASS=user", "--property=PAMName=login", "--property=User=person")
    machine.run("systemd-run", *login, "sleep", "600")
    machine.until(lambda: "person" in machine.run("loginctl", "list-sessions", "--no-legend"), "somebody is logged in")
    block = ("systemd-inhibit", "--what=shutdown", "--mode=block", "--who=backup", "sleep", "600")
    machine.run("systemd-run", "--unit=backup.service", *block)
    machine.until(lambda: "backup" in machine.run("systemd-inhibit", "--list", "--no-legend"), "the restart is blocked")
    said = json.loads(machine.run(f"{HOME}/venv/bin/python", "-I", "-c", _RESTART))
    assert said["waited"] >= 1
    assert said["warning"] == 3
    assert machine.wait_ended() == REBOOT

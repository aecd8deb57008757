"""Runs a piece of Python in the sandbox of a unit: the unit as it is loaded, drop-ins included, with another program."""

from __future__ import annotations

import itertools
import json
from typing import Any

from support.nspawn.image import HOME
from support.nspawn.machine import Machine

_numbers = itertools.count(1)
# What belongs to the program and not to the sandbox.
_LEFT_OUT = (
    "BusName=",
    "WatchdogSec=",
    "Exec",
    "CollectMode=",
    "Type=",
    "Restart",
    "Success",
    "Sockets=",
    "FileDescriptor",
)
_BEGIN = """\
import errno, json, os, socket
def attempt(work):
    try:
        work()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"
found = {}
"""


def probe(machine: Machine, unit: str, code: str) -> dict[str, Any]:
    """Runs ``code``, which fills ``found``, and returns that.

    Args:
        machine: is on.
        unit: the service; a template is given an instance.
        code: ``attempt(work)`` gives the name of the errno with which a call without arguments has failed, or ``done``.
    """
    name = f"probe-{next(_numbers)}"
    lines = machine.run("systemctl", "cat", "--", unit).splitlines()
    kept = [line for line in lines if not line.startswith(_LEFT_OUT)]
    program = f"{_BEGIN}{code}\nprint(json.dumps(found))\n"
    own = [
        "[Service]", "Type=oneshot", f"ExecStart={HOME}/venv/bin/python -I /run/{name}.py",
        "StandardInput=null", f"StandardOutput=file:/run/{name}.out", "StandardError=journal",
    ]  # fmt: skip
    _put(machine, f"/run/{name}.py", program)
    _put(machine, f"/run/systemd/system/{name}.service", "\n".join([*kept, *own, ""]))
    machine.run("systemctl", "daemon-reload")
    done = machine.ask("systemctl", "start", f"{name}.service")
    assert done.returncode == 0, done.stderr + machine.said(f"_SYSTEMD_UNIT={name}.service")
    return dict(json.loads(machine.run("cat", f"/run/{name}.out")))


def _put(machine: Machine, path: str, text: str) -> None:
    done = machine.ask("sh", "-c", 'mkdir -p "$(dirname "$0")" && cat >"$0"', path, text=text)
    assert done.returncode == 0, done.stderr

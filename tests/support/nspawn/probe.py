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
import ctypes, errno, glob, json, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def attempt(work):
    try:
        work()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"
def call(name, *arguments):
    def work():
        if getattr(libc, name)(*arguments) < 0:
            raise OSError(ctypes.get_errno(), name)
    return attempt(work)
def touch(directory):
    path = directory + "/.probe"
    def work():
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
        os.unlink(path)
    return attempt(work)
def writable():
    found = ["/", *glob.glob("/*"), *glob.glob("/*/*"), *glob.glob("/var/lib/*")]
    real = [path for path in found if os.path.isdir(path) and not os.path.islink(path)]
    return [path for path in real if not path.startswith("/proc") and touch(path) == "done"]
found = {}
"""


def probe(machine: Machine, unit: str, code: str) -> dict[str, Any]:
    """Runs ``code``, which fills ``found``, and returns that.

    Args:
        machine: is on.
        unit: the service; a template is given an instance.
        code: ``attempt(work)`` gives the name of the errno with which a call without arguments has failed, or ``done``;
            ``call(name, ...)`` the same for a function of libc; ``writable()`` the directories that can be written to.
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

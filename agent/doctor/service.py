"""Does the system keep the agent running, and will it restart one that hangs?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from agent.doctor.finding import Finding, error, ok, warning
from agent.doctor.subject import Subject
from agent.process import run

_PATIENCE = 10.0  # seconds
_UNIT, _TIMER = "ota-agent.service", "ota-agent-trial.timer"
_OFF = ("", "0", "infinity")


def units(subject: Subject) -> Iterator[Finding]:
    """What systemd says; nothing where the system was not started by it."""
    if not subject.places.systemd.is_dir():
        return
    unit = _shown(subject, _UNIT, "LoadState", "ActiveState", "NRestarts")
    state = unit.get("ActiveState", "")
    if unit.get("LoadState") == "not-found":
        yield warning("service.unit", f"there is no unit {_UNIT}")
    elif state == "failed":
        yield error("service.unit", f"{_UNIT} has failed")
    elif state in ("active", "activating", "reloading"):
        yield ok("service.unit", f"{_UNIT} is {state}, started again {unit.get('NRestarts', '0')} times")
    elif state == "inactive" and subject.config.system.idle_exit:
        yield ok("service.unit", f"{_UNIT} has left, because it had nothing to do")
    else:
        yield warning("service.unit", f"{_UNIT} is {state or 'unknown'}")
    timer = _shown(subject, _TIMER, "LoadState", "ActiveState")
    if timer.get("ActiveState") == "active":
        yield ok("service.trial-guard", f"{_TIMER} is active")
    else:
        yield warning("service.trial-guard", f"{_TIMER} is {timer.get('ActiveState') or 'unknown'}")
    yield from _sockets(subject)
    yield from _watchdog(subject)


def _sockets(subject: Subject) -> Iterator[Finding]:
    places = (subject.config.fetcher.socket, subject.config.installer.socket)
    absent = [str(place) for place in places if place is not None and not place.is_socket()]
    if absent:
        yield warning("service.sockets", f"nobody listens at {', '.join(absent)}")
    else:
        yield ok("service.sockets", "fetcher and installer are started as configured")


def _watchdog(subject: Subject) -> Iterator[Finding]:
    """RuntimeWatchdogUSec= of the manager; systemd-system.conf(5)."""
    value = _shown(subject, "", "RuntimeWatchdogUSec").get("RuntimeWatchdogUSec", "")
    if value in _OFF:
        yield warning("service.watchdog", "systemd feeds no hardware watchdog")
    else:
        yield ok("service.watchdog", f"systemd feeds the watchdog, which waits {value}")


def _shown(subject: Subject, unit: str, *properties: str) -> Mapping[str, str]:
    command = [subject.places.systemctl, "show", f"--property={','.join(properties)}", *([unit] if unit else [])]
    done = run(command, _PATIENCE)
    if done.status != 0:
        raise OSError(f"systemctl show: {done.last_line or done.status}")
    return dict(line.split("=", 1) for line in done.output.splitlines() if "=" in line)

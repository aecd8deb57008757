"""The settings of ``[health]``: what is checked before a system is confirmed, and where a failed boot may have left traces.

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from agent import config_values as kind
from agent.config_row import Setting
from agent.config_values import MAX_LIST, MAX_TEXT, Kind

# D-Bus Specification, "Bus names": a well-known name has at least two elements, none of which begins with a digit.
_BUS_NAME = re.compile(r"(?=.{3,255}$)[A-Za-z_-][A-Za-z0-9_-]*(\.[A-Za-z_-][A-Za-z0-9_-]*)+")
_ENDPOINT = re.compile(r"(\[[0-9A-Fa-f:.%a-z]{2,64}\]|[A-Za-z0-9._-]{1,253}):([0-9]{1,5})")
_ADDRESS = re.compile(
    r"[A-Za-z0-9\-._~:/?#\[\]!$&'()*+,;=%]{1,2048}"
)  # RFC 3986, section 2, without the "@" of a login


def _list_of(accept: Callable[[str, Path], object]) -> Callable[[object, Path], object]:
    def all_of(raw: object, base: Path) -> tuple[object, ...]:
        if not isinstance(raw, list) or len(raw) > MAX_LIST or not all(isinstance(item, str) for item in raw):
            raise ValueError
        if any(not item or len(item) > MAX_TEXT or not item.isprintable() for item in raw):
            raise ValueError
        values = tuple(accept(item, base) for item in raw)
        if len(set(values)) != len(values):
            raise ValueError
        return values

    return all_of


def _bus_name(text: str, _base: Path) -> str:
    if not _BUS_NAME.fullmatch(text):
        raise ValueError
    return text


def _address(text: str, _base: Path) -> str:
    parts = urlsplit(text)
    if not _ADDRESS.fullmatch(text) or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError
    if parts.fragment or parts.port == 0:  # .port raises ValueError when it is no port
        raise ValueError
    return text


def _endpoint(text: str, _base: Path) -> str:
    match = _ENDPOINT.fullmatch(text)
    if match is None or not 0 < int(match[2]) < 1 << 16:
        raise ValueError
    return text


_PATHS = Kind("a list of different paths", _list_of(lambda text, base: base / text))
_BUS_NAMES = Kind('a list of different D-Bus names such as "com.example.App"', _list_of(_bus_name))
_ADDRESSES = Kind("a list of different addresses http://... or https://... without a login", _list_of(_address))
_ENDPOINTS = Kind('a list of different "host:port"', _list_of(_endpoint))

HEALTH_SETTINGS: tuple[Setting, ...] = (
    Setting("health", "units", kind.UNITS, [], "systemd units that must be active."),
    Setting(
        "health",
        "boot-complete",
        kind.BOOLEAN,
        True,
        "Under systemd, `boot-complete.target` must be reached, so that any unit can veto; see [health](health.md).",
    ),
    Setting(
        "health",
        "commands",
        kind.COMMANDS,
        [],
        "Commands that must succeed; the last line of their output tells why they did not.",
    ),
    Setting(
        "health",
        "directory",
        kind.OPTIONAL_PATH,
        "/etc/ota-agent/health.d",
        "Directory of programs that must succeed, chosen and ordered as by run-parts(8). It need not exist.",
    ),
    Setting("health", "dbus-names", _BUS_NAMES, [], "Names on the system bus that must have an owner."),
    Setting(
        "health",
        "urls",
        _ADDRESSES,
        [],
        "Addresses that must answer a GET with a status of 2xx. They are asked without credentials and without a proxy.",
    ),
    Setting("health", "tcp", _ENDPOINTS, [], "Ports that must accept a connection."),
    Setting("health", "mounts", _PATHS, [], "Mount points on which a file can be written, flushed and removed."),
    Setting(
        "health",
        "free-space",
        kind.BYTES,
        0,
        "Bytes that must be free on `system.state-dir` and on each of `mounts`; 0: any number.",
    ),
    Setting(
        "health",
        "watchdog",
        kind.OPTIONAL_PATH,
        "",
        "The watchdog that must be armed: its device, for example `/dev/watchdog0`, or its directory in sysfs.",
    ),
    Setting(
        "health", "server", kind.BOOLEAN, True, "The server must be reachable from the new system, if there is one."
    ),
    Setting(
        "health", "deadline", kind.seconds(0.1, 86400), 300, "Seconds after which an unhealthy system is reverted."
    ),
    Setting("health", "soak", kind.seconds(0, 86400), 10, "Seconds for which all checks must stay green."),
    Setting("health", "interval", kind.seconds(0.05, 600), 2, "Seconds from one round of checks to the next."),
    Setting("health", "check-timeout", kind.seconds(0.1, 3600), 30, "Seconds that one check may take."),
    Setting(
        "health",
        "retries",
        kind.whole(0, 100),
        0,
        "How often in a row a check that was green may fail before `soak` starts again; it must be green in the end.",
    ),
    Setting(
        "health",
        "pstore",
        _PATHS,
        ["/sys/fs/pstore", "/var/lib/systemd/pstore"],
        "Where the kernel's last words are looked for after a fallback: pstore(5), and what systemd-pstore(8) makes of it.",
    ),
    Setting(
        "health",
        "bootstatus",
        kind.OPTIONAL_PATH,
        "/sys/class/watchdog",
        "The watchdogs in sysfs: whether one of them caused the last reset. Empty: not asked.",
    ),
)

"""The settings of ``[policy]``: who must agree to an update, and when it may disturb. Pure."""

from __future__ import annotations

import re
from pathlib import Path

from agent import config_values as kind
from agent.config_row import Setting
from agent.config_values import Kind
from agent.consent.windows import parse

MAX_WINDOWS = 16
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,3}")
_POWER = re.compile(r"any|ac|battery:([1-9][0-9]?|100)")


def _windows(raw: object, _base: Path) -> tuple[str, ...]:
    if not isinstance(raw, list | tuple) or len(raw) > MAX_WINDOWS or len(set(map(str, raw))) != len(raw):
        raise ValueError
    for text in raw:
        if not isinstance(text, str):
            raise ValueError
        parse(text)
    return tuple(raw)


def _zone(raw: object, _base: Path) -> str:
    if not isinstance(raw, str) or len(raw) > 64 or (raw and not _ZONE.fullmatch(raw)):
        raise ValueError
    return raw


def _power(raw: object, _base: Path) -> str:
    if not isinstance(raw, str) or not _POWER.fullmatch(raw):
        raise ValueError
    return raw


WINDOWS = Kind('a list of times such as "Mon-Fri 02:00-05:00"', _windows)
ZONE = Kind('the name of a time zone such as "Europe/Vienna", or "" for the system\'s', _zone)
POWER = Kind('"any", "ac", or "battery:" and a percentage such as "battery:30"', _power)

POLICY_SETTINGS: tuple[Setting, ...] = (
    Setting(
        "policy",
        "profile",
        kind.one_of("consumer", "managed", "industrial"),
        "consumer",
        "Whose word counts most: the user's (`consumer`), the server's (`managed`), or that of somebody at the device for "
        "each update (`industrial`).",
    ),
    Setting(
        "policy",
        "approval",
        kind.one_of("auto", "ask-install", "ask-download"),
        "auto",
        "What needs somebody's consent on the device: nothing, the installation, or already the download. In the profile "
        "`industrial` an installation always does.",
    ),
    Setting(
        "policy",
        "auto-security",
        kind.BOOLEAN,
        True,
        "Install security updates by themselves. With `false` nothing is installed, but everybody is still told of updates.",
    ),
    Setting(
        "policy",
        "auto-functionality",
        kind.BOOLEAN,
        True,
        "Install updates by themselves whose signed manifest says that they have nothing to do with security; with `false` "
        "each needs consent.",
    ),
    Setting(
        "policy",
        "windows",
        WINDOWS,
        [],
        "Times in which an installation may begin and the device may restart; empty: at all times.",
    ),
    Setting("policy", "time-zone", ZONE, "", "The time zone of `windows`; empty: the system's."),
    Setting(
        "policy",
        "power",
        POWER,
        "any",
        "What an installation needs: nothing, external power (`ac`), or that or so much charge (`battery:30`).",
    ),
    Setting(
        "policy",
        "metered",
        kind.one_of("allow", "avoid"),
        "allow",
        "Whether bundles are downloaded over a connection that NetworkManager calls metered.",
    ),
    Setting(
        "policy",
        "busy-file",
        kind.OPTIONAL_PATH,
        "",
        "As long as this file exists nothing is installed, and the device does not restart.",
    ),
    Setting(
        "policy",
        "inhibitors",
        kind.BOOLEAN,
        False,
        "Wait with the restart for programs that hold a lock of logind against a shutdown (systemd-inhibit(1)).",
    ),
    Setting(
        "policy",
        "postpone-count",
        kind.whole(0, 1000),
        3,
        "How often one update may be postponed.",
    ),
    Setting(
        "policy",
        "postpone-total",
        kind.seconds(0, 31_536_000),
        604_800,
        "Seconds for which one update may be postponed in all; less for critical (72 h) and exploited (24 h) ones.",
    ),
    Setting(
        "policy",
        "postpone-longest",
        kind.seconds(0, 31_536_000),
        259_200,
        "Seconds that one postponement may take.",
    ),
    Setting(
        "policy",
        "motd",
        kind.OPTIONAL_PATH,
        "",
        "File that holds one line about an update that waits, such as `/run/motd.d/ota-agent`; empty: none.",
    ),
)

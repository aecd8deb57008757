"""What a person says to an update that waits, and how they want updates to be."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

from agent.cli.client import Client
from agent.cli.output import Exit, say, say_json
from agent.config_values import BYTES
from agent.consent.policy import CHANGEABLE, setting
from agent.daemon import dbus_names as names
from agent.errors import PolicyError

_DURATION = re.compile(r"([0-9]{1,9})(s|m|min|h|d)?")
_UNITS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_SWITCHES: Mapping[str, bool] = {"on": True, "true": True, "yes": True, "off": False, "false": False, "no": False}
_AUTO = ("auto-security", "auto-functionality")


def postpone(arguments: Namespace) -> int:
    """Leaves the update that waits for later."""
    match = _DURATION.fullmatch(arguments.time)
    if match is None:
        raise _wrong("a time", arguments.time, "a number of seconds, or such as 30m, 2h or 1d")
    seconds = int(match[1]) * _UNITS[match[2] or ""]
    with Client(arguments.bus) as client:
        client.postpone(min(seconds, 2**32 - 1))
        now = client.properties(names.UPDATE)
    left = now.get("DefersLeft", 0)
    return _done(arguments, f"postponed; possible {left} more times", {"postponed": seconds, "left": left})


def install_now(arguments: Namespace) -> int:
    """Does not wait for a better time."""
    with Client(arguments.bus) as client:
        client.install_now()
    return _done(arguments, "accepted; ota-agent status --watch follows it", {"accepted": True})


def auto(arguments: Namespace) -> int:
    """Switches updates that are installed by themselves on or off."""
    wanted = arguments.switch == "on"
    with Client(arguments.bus) as client:
        for name in _AUTO:
            client.set_policy(name, wanted)
    text = (
        "updates are installed by themselves"
        if wanted
        else "no update is installed by itself; you are still told of each, and install it with: ota-agent approve"
    )
    return _done(arguments, text, dict.fromkeys(_AUTO, wanted))


def show(arguments: Namespace) -> int:
    """Shows the policy in force."""
    with Client(arguments.bus) as client:
        found = client.properties(names.POLICY)
        profile = client.properties().get("Profile", "")
    values = {"profile": profile, **{key: found.get(member) for key, member in CHANGEABLE.items()}}
    if arguments.json:
        say_json(values)
    else:
        say([f"{key:<20}{_shown(value)}" for key, value in values.items()])
    return Exit.OK


def change(arguments: Namespace) -> int:
    """Sets one setting of the policy."""
    key = setting(arguments.name)
    value = _value(key, arguments.value)
    with Client(arguments.bus) as client:
        client.set_policy(key, value)
    return _done(arguments, f"{key} is {_shown(value)} from now on", {key: value})


def reset(arguments: Namespace) -> int:
    """Takes back what was set."""
    with Client(arguments.bus) as client:
        client.reset_policy()
    return _done(arguments, "the policy of the device's configuration holds again", {"reset": True})


def _value(key: str, words: list[str]) -> object:
    if key == "windows":
        return words
    if len(words) != 1:
        raise _wrong(key, " ".join(words), "exactly one value")
    word = words[0]
    if key in _AUTO:
        if word not in _SWITCHES:
            raise _wrong(key, word, "on or off")
        return _SWITCHES[word]
    if key == "bandwidth-limit":
        try:
            return BYTES.accept(int(word) if word.isdecimal() else word, Path("/"))
        except ValueError as error:
            raise _wrong(key, word, BYTES.expected) from error
    return word


def _wrong(what: str, value: str, expected: str) -> PolicyError:
    return PolicyError(
        "policy.invalid", f"{what} cannot have this value", details=f"expected {expected}, got {value[:80]!r}"
    )


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value) or "-"


def _done(arguments: Namespace, text: str, values: Mapping[str, object]) -> int:
    if arguments.json:
        say_json(values)
    else:
        say(text)
    return Exit.OK

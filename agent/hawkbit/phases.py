"""The numbers (``code`` of a feedback) of everything that is said about an action and is not a failure.

An operator can filter and count by them. They never change, and lie below 1000, where the numbers of errors begin
(``agent/codes.py``). ``docs/hawkbit.md`` lists them.
"""

from __future__ import annotations

import re
from enum import IntEnum

_SWITCHED = re.compile(r"restarting into it \[([0-9a-f]{16})\]")
QUARTERS = 3  # of the writing that are told; the fourth is SWITCHING


class Phase(IntEnum):
    """A number and what it stands for."""

    LOOKING = 110  # at the bundle, before anything is written
    RENAMED = 111  # the bundle's own version is another one than the server's
    ASKING = 120  # somebody on the device must approve
    WINDOW = 121  # the server does not allow the installation yet
    HELD = 122  # the server allows neither fetching nor installing
    OPTED_OUT = 123  # somebody on the device does not want updates to be installed by themselves
    POSTPONED = 124  # by somebody on the device
    UNFIT = 125  # to be installed now: the device is busy, lacks power, or has a metered connection
    FETCHING = 130  # and verifying, for a download-only assignment
    WRITING = 140  # to the inactive slot; 141, 142, 143: a quarter, a half, three quarters of it
    SWITCHING = 150  # written and read back; the device restarts into it
    SUCCESS = 200
    DOWNLOADED = 201
    CANCELLED = 210  # nothing has changed on the device
    TOO_LATE = 211  # to cancel
    CONFIRMED = 220
    DENIED = 221


def switching_text(version: str, slot: str, manifest_hash: str) -> str:
    """The line that says that the device restarts into what was installed."""
    return f"version {version} is in slot {slot} and was read back; restarting into it [{manifest_hash[:16]}]"


def switched_to(history: tuple[str, ...]) -> str:
    """The first digits of the manifest hash in the newest such line of the server's memory; empty when there is none."""
    found = (_SWITCHED.search(line) for line in history)
    return next((match[1] for match in found if match), "")

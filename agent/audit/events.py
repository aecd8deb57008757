"""Every event that the audit log knows: what it means, and the id of its journal entry.

A name and an id never change their meaning: old logs are read with them. ``systemd/ota-agent.catalog`` explains each id.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple


class Sparing(Enum):
    """Which notes become records: what repeats with every poll must not wear out the medium."""

    EACH = "each"
    CHANGED = "changed"  # subject or data differ from those of the last record of its kind
    CHANGED_OR_BOOT = "changed-or-boot"  # or it is another boot
    BOOT = "boot"  # one for each boot


class Row(NamedTuple):
    """One kind of event.

    ``subject`` says what the subject of a record is. At most ``limit`` records of one kind are made in a day of one boot,
    and how many were left out stands in the next; 0 is no limit. The journal has a ``quiet`` one from elsewhere, with more.
    """

    meaning: str
    subject: str
    message_id: str
    sparing: Sparing = Sparing.EACH
    limit: int = 0
    quiet: bool = False


_OF_ITS_STATE = ""  # Presence has told the journal of it, with the id of that state

EVENTS: Mapping[str, Row] = {
    "boot": Row(
        "the agent runs in a new boot", "boot name of the slot", "3b83b9fffa934516ac462d3c0d0304e3", sparing=Sparing.BOOT,
    ),
    "state": Row("an update has entered a state", "the state", _OF_ITS_STATE, sparing=Sparing.CHANGED),
    "poll": Row(
        "the server answers otherwise than before", "ok, or the code of the error",
        "178df0d017694105a3d898f6ed00c000", sparing=Sparing.CHANGED, limit=48,
    ),
    "verify-passed": Row("a bundle is genuine and fits", "its version", "a63802f6dbfd45128c9828dbcf9b55f5"),
    "verify-failed": Row(
        "a bundle was refused", "the code of the error", "99c7f8077dab41779bcff2dfdfd29c4d", limit=48
    ),
    "trust": Row(
        "other certificates or revocations are trusted than before", "SHA-256 of the files",
        "6663b48ab5e14973877323cf46dff719", sparing=Sparing.CHANGED, limit=48,
    ),
    "download-started": Row("a download has begun", "the bundle", "ae906b8bec2e43318e5725c57fd11d8c", limit=48),
    "download-finished": Row(
        "a download has ended", "complete, or the code of the error", "192fe72c1a4d4e13b7d7e2842643fdfe", limit=48
    ),
    "boot-choice": Row(
        "the boot environment was written", "activate, confirm, revert, mark-good or heal",
        "8602157c8526485f8d11a053d0aaf9b0", sparing=Sparing.CHANGED_OR_BOOT,
    ),
    "health": Row(
        "a system was judged", "passed, or failed", "2aa351cc7cc44120927a4542331bef23", sparing=Sparing.CHANGED_OR_BOOT
    ),
    "confirmed": Row("a system was made permanent", "its version", "c7b6b75b1916425c83bae371b3e29969"),
    "fallback": Row("the system before runs again", "the code of the reason", "902f196ee8ea4ed3ade4a9a440eddff2"),
    "floor": Row("older versions are refused from now on", "the lowest allowed one", "d2796fae11664204816590a878a11e80"),
    "finished": Row("an update has ended", "its outcome", "2195268a5b6c49c3b898d337594477e3"),
    "notice": Row("a user was told of an update", "its version", "04338d72076b45af922e50bc34442a65", sparing=Sparing.CHANGED),
    "consent": Row(
        "a user has answered", "approved, denied, postponed, or install-now", "82d85118b00b4f04881ff8c6b6f1b79e", limit=200,
    ),
    "policy": Row("a user has changed a policy", "its name", "5c1a1a937cdb4ce9aaa4f00ccc4cc897", limit=200),
    "command": Row("a user has given a command", "the method", "f8d06fa9e0f84b32aa2596214677af8a", limit=200),
    "access-denied": Row("a command was refused", "the method", "38d0b0f058584d268ea492fe2ae52253", limit=48, quiet=True),
    "clock": Row(
        "the date was set", "forward, or back", "b7a58a6dca6b487c95a6943ed01e2bf7", limit=24
    ),
    "scrub": Row("slots were read back", "how it ended", "31e94504cffb4985ac66e247264be32d"),
    "media": Row(
        "a medium was looked into, or a bundle on it judged", "the file, or empty", "629c2707c4a142efbaebd1a5d1028036",
        limit=48,
    ),
    "audit-on": Row("recording was switched on", "by whom", "a857562b47104290aecfea9878846fce"),
    "audit-off": Row("recording was switched off", "by whom", "a7bd4b4d03b94dc5bf47bc314d5ff34e", limit=24),
    "audit-torn": Row("half a record was cut off after a power cut", "", "b0a35c83a5404f0ca42c75b0fbf0f59f"),
    "audit-damaged": Row("records are missing or were changed", "the first of them", "9a80f27d0bbf49869d4159564fc6f439"),
    "audit-gap": Row("records could not be written", "the reason", "cb5cce3f72ab465aa6cd509e59194f85"),
}  # fmt: skip

JOURNAL_IDS: Mapping[str, str] = {name: row.message_id for name, row in EVENTS.items() if row.message_id}

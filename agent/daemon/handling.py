"""What the server's handling of an assignment, and this device's own rules, allow now. Pure.

| assignment | download | update | maintenanceWindow |
|---|---|---|---|
| forced | forced | forced | |
| soft | attempt | attempt | |
| download only | forced | skip | |
| any, window closed | as above | skip | unavailable |
| any, window open | as above | as download | available |
"""

from __future__ import annotations

from enum import StrEnum

from agent.daemon.record import Record


class Hold(StrEnum):
    """What must change before the work may go on."""

    NOTHING = ""
    CONSENT = "consent"  # somebody on the device must approve
    WINDOW = "window"  # the server's maintenance window must open
    SERVER = "server"  # the server allows nothing at all, which hawkBit never says for long


def before_fetching(record: Record, soft: str) -> Hold:
    """What keeps the device from fetching even a part of the bundle.

    Args:
        record: of the update.
        soft: ``update.soft``: what an assignment needs that is only to be attempted.
    """
    if record.origin != "server":
        return Hold.NOTHING
    if record.download == "skip":
        return Hold.SERVER
    return _consent(record, record.download, soft)


def before_installing(record: Record, soft: str) -> Hold:
    """What keeps the device from writing to the inactive slot, and from restarting into it; arguments as above."""
    if record.origin != "server":
        return Hold.NOTHING
    if record.window == "unavailable":
        return Hold.WINDOW
    if record.update == "skip":
        return Hold.WINDOW if record.window else Hold.SERVER
    return _consent(record, record.update, soft)


def only_fetch(record: Record) -> bool:
    """Whether the bundle is to be fetched, and never installed by this action."""
    return record.origin == "server" and record.update == "skip" and not record.window and record.download != "skip"


def _consent(record: Record, handling: str, soft: str) -> Hold:
    return Hold.CONSENT if handling == "attempt" and soft == "ask" and not record.consent else Hold.NOTHING

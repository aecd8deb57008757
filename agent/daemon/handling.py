"""What the server's handling of an assignment, and this device's own rules, allow now. Pure.

| assignment | download | update | maintenanceWindow |
|---|---|---|---|
| forced | forced | forced | |
| soft | attempt | attempt | |
| download only | forced | skip | |
| any, window closed | as above | skip | unavailable |
| any, window open | as above | as download | available |

Whatever the server allows, the device's own policy may still hold back (``agent.consent.rules``); what the server holds back
comes first.
"""

from __future__ import annotations

from collections.abc import Sequence

from agent.consent.rules import Hold
from agent.daemon.record import Record

__all__ = [
    "Hold", "all_before_fetching", "all_before_installing", "before_fetching", "before_installing", "forced", "only_fetch",
]  # fmt: skip


def all_before_fetching(record: Record, soft: str, own: Sequence[Hold] = ()) -> tuple[Hold, ...]:
    """Everything that keeps the device from fetching even a part of the bundle.

    Args:
        record: of the update.
        soft: ``update.soft``: what an assignment needs that is only to be attempted.
        own: what the device's policy holds back.
    """
    return _all(_fetching(record, soft), own)


def all_before_installing(record: Record, soft: str, own: Sequence[Hold] = ()) -> tuple[Hold, ...]:
    """What keeps the device from writing to the inactive slot, or from restarting into it; arguments as above."""
    return _all(_installing(record, soft), own)


def before_fetching(record: Record, soft: str, own: Sequence[Hold] = ()) -> Hold:
    """The first of ``all_before_fetching``, or NOTHING."""
    return next(iter(all_before_fetching(record, soft, own)), Hold.NOTHING)


def before_installing(record: Record, soft: str, own: Sequence[Hold] = ()) -> Hold:
    """The first of ``all_before_installing``, or NOTHING."""
    return next(iter(all_before_installing(record, soft, own)), Hold.NOTHING)


def forced(record: Record) -> bool:
    """Whether the server wants it independently of anybody on the device; closed windows change only ``update``."""
    return record.origin == "server" and record.download == "forced"


def only_fetch(record: Record) -> bool:
    """Whether the bundle is to be fetched, and never installed by this action."""
    return record.origin == "server" and record.update == "skip" and not record.window and record.download != "skip"


def _fetching(record: Record, soft: str) -> Hold:
    if record.origin != "server":
        return Hold.NOTHING
    if record.download == "skip":
        return Hold.SERVER
    return _consent(record, record.download, soft)


def _installing(record: Record, soft: str) -> Hold:
    if record.origin != "server":
        return Hold.NOTHING
    if record.window == "unavailable":
        return Hold.WINDOW
    if record.update == "skip":
        return Hold.WINDOW if record.window else Hold.SERVER
    return _consent(record, record.update, soft)


def _consent(record: Record, handling: str, soft: str) -> Hold:
    return Hold.CONSENT if handling == "attempt" and soft == "ask" and not record.consent else Hold.NOTHING


def _all(server: Hold, own: Sequence[Hold]) -> tuple[Hold, ...]:
    return tuple(dict.fromkeys(hold for hold in (server, *own) if hold is not Hold.NOTHING))

"""What forbids writing to a slot, in words and codes that are the same for every kind of slot."""

from __future__ import annotations

from collections.abc import Callable

from slots.errors import SlotError
from slots.model import Slot


def readonly(slot: Slot, why: str) -> SlotError:
    """``slot.readonly``: the configuration or the device forbids it."""
    return SlotError(
        "slot.readonly", f"slot {slot.name} must not be written to", details=why,
        resolution="do not send an image for it, or make it writable",
    )  # fmt: skip


def running(slot: Slot, what: str) -> SlotError:
    """``slot.booted``: writing would destroy what is running."""
    return SlotError(
        "slot.booted", f"slot {slot.name} holds the running system", details=what,
        resolution="give every slot its own device in the configuration",
    )  # fmt: skip


def require_unused(slot: Slot, what: str, user: Callable[[], str]) -> None:
    """Refuses a slot that somebody uses.

    Args:
        slot: the slot.
        what: the device, for the message.
        user: says who uses it; empty when nobody does. May raise OSError when nothing is known.

    Raises:
        SlotError: ``slot.mounted``, ``slot.usage-unknown``.
    """
    try:
        found = user()
    except OSError as error:
        raise SlotError(
            "slot.usage-unknown", f"it is not known whether slot {slot.name} is in use", details=str(error),
            resolution="let the agent read /proc/self/mountinfo and /proc/swaps", retryable=True,
        ) from error  # fmt: skip
    if found:
        raise SlotError(
            "slot.mounted", f"slot {slot.name} is in use", details=f"{what}: {found}",
            resolution="unmount it; nothing may use what an update writes to",
        )  # fmt: skip

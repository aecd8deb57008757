"""The one sentence that everything ends with: does the slot hold what was signed?"""

from __future__ import annotations

from slots.errors import SlotError
from slots.handlers.port import Content, Written
from slots.model import Slot


def require_same(slot: Slot, outcome: Written, content: Content) -> None:
    """Compares digests.

    Raises:
        SlotError: ``slot.read-back``.
    """
    if outcome.digest != content.sha256:
        raise SlotError(
            "slot.read-back", f"slot {slot.name} does not hold what was written to it",
            details=f"read back sha256 {outcome.digest[:16]}..., expected {content.sha256[:16]}...",
            resolution="it is written again from the start; if this repeats, the storage is failing", retryable=True,
        )  # fmt: skip

"""What can go wrong with slots. Same shape as the errors of the agent, which this package must not know."""

from __future__ import annotations


class SlotError(Exception):
    """A failure around slots that can be explained.

    Args:
        code: stable, dotted, lower case, starting with ``slot.``.
        brief: one sentence for a person, without a final full stop.
        details: why: the observed facts (sizes, device names, the kernel's message).
        resolution: what the reader can do about it.
        retryable: trying the same again later may succeed.
    """

    def __init__(
        self, code: str, brief: str, *, details: str = "", resolution: str = "", retryable: bool = False
    ) -> None:
        super().__init__(brief)
        self.code = code
        self.brief = brief
        self.details = details
        self.resolution = resolution
        self.retryable = retryable

    def __str__(self) -> str:
        text = f"{self.brief}: {self.details}" if self.details else self.brief
        return f"{text} [{self.code}]"

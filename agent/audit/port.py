"""How the rest of the agent leaves a record of what it decided."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol


class Auditor(Protocol):
    """Takes notes of decisions; safe from any thread."""

    def note(self, event: str, subject: str = "", /, **data: str | int | bool) -> None:
        """Records one decision; it is durable when this returns, and nothing is raised: what cannot be written is logged.

        Args:
            event: the name of a row of ``agent.audit.events``.
            subject: what it is about, as that row says.
            data: what else is known; texts are cut after 300 characters.
        """
        ...

    @property
    def recording(self) -> bool:
        """Whether notes are recorded: the user of the device may have switched it off."""
        ...

    def switch(self, recording: bool, by: str) -> None:
        """Switches recording on or off, from now on and over restarts; that is recorded itself, as the last or the first.

        Args:
            recording: whether to record.
            by: who wants it: the sender of the command.

        Raises:
            EnvironmentFault: ``audit.write-failed``, ``audit.switched-often``: nothing has changed.
        """
        ...

    def seal(self) -> str:
        """The number and the hash of the newest record, for somebody who keeps them elsewhere; empty when none is kept."""
        ...


class Unrecorded:
    """Keeps nothing, for what runs without a state directory."""

    recording = False
    head = bytes(32)
    count = 0

    def note(self, event: str, subject: str = "", /, **data: str | int | bool) -> None:
        """See Auditor."""

    def switch(self, recording: bool, by: str) -> None:
        """See Auditor."""

    def verify(self) -> tuple[bool, int]:
        """Nothing is wrong with nothing."""
        return True, 0

    def tail(self, count: int) -> list[str]:
        """There are no records."""
        return []

    def export(self) -> Iterator[bytes]:
        """There is nothing to export."""
        return iter(())

    def seal(self) -> str:
        """See Auditor."""
        return ""

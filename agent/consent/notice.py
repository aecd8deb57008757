"""What the user of the device is told about an update: properties on D-Bus, a file, and a line at the login. Pure.

The file is for programs without D-Bus; its schema is in ``docs/consent.md``. Everything in it about the update was signed, or
``verified`` is false and it is the server's word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agent.consent.facts import Facts
from agent.consent.rules import Hold

SCHEMA = 1
_WORDS: Mapping[Hold, str] = {
    Hold.CONSENT: "waits for consent: ota-agent approve",
    Hold.OPT_OUT: "is not installed, as automatic updates are off: ota-agent approve",
    Hold.WINDOW: "waits for the maintenance window",
    Hold.SERVER: "waits for the server",
    Hold.POSTPONED: "is postponed",
    Hold.METERED: "waits for a connection that is not metered",
    Hold.POWER: "waits for power",
    Hold.BUSY: "waits until the device is not busy",
    Hold.INHIBITOR: "waits for programs that do not want a restart now",
}


@dataclass(frozen=True, slots=True)
class Notice:
    """One update, as it is shown. Times are seconds since 1970, 0 when that is not known; the others are in seconds.

    Attributes:
        state: of the update's life.
        action: the server's number of it.
        version: of the bundle.
        facts: signed.
        verified: whether the bundle's signature was checked.
        size: bytes of the bundle.
        waits_for: what holds it back.
        deadline: when it is installed at the latest; 0: never by itself.
        postponed: for which it is still postponed.
        postponable: for which it could be postponed now.
        used: how often it was postponed.
        left: how often it can still be.
    """

    state: str
    action: str
    version: str
    facts: Facts
    verified: bool
    size: int
    waits_for: tuple[Hold, ...] = ()
    deadline: int = 0
    postponed: int = 0
    postponable: int = 0
    used: int = 0
    left: int = 0

    def document(self) -> dict[str, object]:
        """The content of ``notice.json``."""
        facts = self.facts
        return {
            "schema": SCHEMA,
            "state": self.state,
            "action": self.action,
            "version": self.version,
            "verified": self.verified,
            "class": facts.kind,
            "urgency": facts.urgency,
            "fixes": list(facts.fixes),
            "summary": dict(facts.summary),
            "user-action": dict(facts.user_action),
            "advisory-id": facts.advisory_id,
            "advisory-url": facts.advisory_url,
            "sbom-url": facts.sbom_url,
            "notes-url": facts.notes_url,
            "disruption": facts.disruption,
            "est-seconds": facts.seconds,
            "size": self.size,
            "waits-for": [hold.value for hold in self.waits_for],
            "deadline": self.deadline,
            "postponed": self.postponed,
            "postponable": self.postponable,
            "defers-used": self.used,
            "defers-left": self.left,
        }

    def line(self) -> str:
        """One line for a person who logs in."""
        about = ", ".join(filter(None, (self.facts.kind, self.facts.urgency)))
        if self.waits_for:
            what = _WORDS[self.waits_for[0]]
        else:  # a device that has just started has yet to find out what it waits for
            what = "waits" if self.state in ("held", "waiting") else "is being installed"
        return f"Update {self.version}{f' ({about})' if about else ''} {what}"

    def properties(self) -> dict[str, object]:
        """The properties of ``org.otaagent.Agent1.Update``."""
        facts = self.facts
        told = {
            "version": self.version, "class": facts.kind, "urgency": facts.urgency, "verified": str(self.verified).lower(),
            "line": self.line(), "advisory-id": facts.advisory_id, "notes-url": facts.notes_url,
            "est-seconds": str(facts.seconds or ""), "postponable": str(self.postponable),
        }  # fmt: skip
        return prefixed(
            {
                "Available": True,
                "ActionId": self.action,
                "Version": self.version,
                "Class": facts.kind,
                "Urgency": facts.urgency,
                "Fixes": list(facts.fixes),
                "AdvisoryUrl": facts.advisory_url,
                "SbomUrl": facts.sbom_url,
                "DownloadSize": self.size,
                "Disruption": facts.disruption,
                "Deadline": self.deadline,
                "PostponeRemaining": self.postponed,
                "DefersUsed": self.used,
                "DefersLeft": self.left,
                "WaitsFor": [hold.value for hold in self.waits_for],
                "Notice": {key: value for key, value in told.items() if value},
            }
        )


NOTHING: Mapping[str, object] = {
    f"Update.{name}": value
    for name, value in {
        "Available": False, "ActionId": "", "Version": "", "Class": "", "Urgency": "", "Fixes": [], "AdvisoryUrl": "",
        "SbomUrl": "", "DownloadSize": 0, "Disruption": "", "Deadline": 0, "PostponeRemaining": 0,
        "DefersUsed": 0, "DefersLeft": 0, "WaitsFor": [], "Notice": {},
    }.items()
}  # fmt: skip


def prefixed(properties: Mapping[str, object]) -> dict[str, object]:
    """Properties of the interface ``Update`` as they are told."""
    return {f"Update.{name}": value for name, value in properties.items()}

"""What the development server keeps: targets, modules, sets, actions and their histories. Values only.

Ids are text, as in DDI documents. Times are milliseconds since 1970.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from agent.demo.server_windows import Schedule

FORCE_TYPES = ("forced", "soft", "timeforced", "downloadonly")
SERVER = "Update Server: "  # begins the server's own messages, which devices are not shown


class Refused(Exception):
    """The request is answered with an error status; ``code`` is hawkBit's name of the error."""

    def __init__(self, status: int, message: str = "", code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code


def now_ms() -> int:
    """The server's clock."""
    return int(time.time() * 1000)


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file on disk and its digests."""

    id: str
    filename: str
    path: Path
    size: int
    sha1: str
    md5: str
    sha256: str
    created: int = 0


@dataclass(slots=True, eq=False)
class Module:
    """A software module; ``part`` is the key of its type. It counts as a distribution set of one where a set is wanted."""

    id: str
    name: str
    version: str
    part: str = "os"
    artifacts: list[Artifact] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)  # what devices are shown
    notes: dict[str, str] = field(default_factory=dict)  # what they are not
    locked: bool = False
    deleted: bool = False


@dataclass(slots=True, eq=False)
class DistributionSet:
    """What is assigned: a name, a version, modules. The first assignment locks it; an invalid one is assigned no more."""

    id: str
    name: str
    version: str
    modules: tuple[Module, ...]
    type: str = "os"
    migration_step: bool = False
    valid: bool = True
    locked: bool = False
    deleted: bool = False
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of an action's history; ``time`` is the device's if it sent one, ``reported`` the server's."""

    type: str
    messages: tuple[str, ...]
    code: int | None
    time: int
    reported: int


@dataclass(frozen=True, slots=True)
class Terms:
    """How a set is assigned.

    Args:
        force: one of ``FORCE_TYPES``.
        force_time: when ``timeforced`` becomes forced (ms since 1970).
        schedule: the maintenance windows.
        confirm: whether the device must confirm when the confirmation flow is on; None: it must.
    """

    force: str = "forced"
    force_time: int = 0
    schedule: Schedule | None = None
    confirm: bool | None = None


@dataclass(slots=True, eq=False)
class Action:
    """A target is to get a distribution set. ``window`` (``available``, ``unavailable``) overrules the schedule."""

    id: str
    controller_id: str
    ds: DistributionSet
    force: str = "forced"
    window: str | None = None
    status: str = "RUNNING"
    active: bool = True
    revision: int = 0  # grows with whatever happens
    version: int = 0  # grows when the action itself changes, and not with entries of its history
    last_code: int | None = None
    entries: list[Entry] = field(default_factory=list)
    force_time: int = 0
    schedule: Schedule | None = None
    created: int = 0
    rollout: str = ""

    @property
    def cancelling(self) -> bool:
        """The operator wants it back, and the device has not answered."""
        return self.active and self.status == "CANCELING"

    @property
    def cancelling_or_cancelled(self) -> bool:
        """It is taken back, or will be."""
        return self.status in ("CANCELING", "CANCELED")

    @property
    def waiting(self) -> bool:
        """The device must confirm it first."""
        return self.status == "WAIT_FOR_CONFIRMATION"

    def forced(self, now: int) -> bool:
        """Whether the device is not asked for its leave."""
        return self.force == "forced" or (self.force == "timeforced" and now >= self.force_time)

    def maintenance(self, now: int) -> str | None:
        """``available`` or ``unavailable``; None without windows."""
        if self.window is not None or self.schedule is None:
            return self.window
        return "available" if self.schedule.is_open(now) else "unavailable"


@dataclass(frozen=True, slots=True)
class AutoConfirm:
    """A target confirms by itself."""

    initiator: str | None
    remark: str | None
    activated: int
    by: str

    @property
    def message(self) -> str:
        """What the history of an action says of it."""
        initiator, remark = self.initiator or "n/a", self.remark or "n/a"
        return (
            f"Assignment automatically confirmed by initiator '{initiator}'. \n\n"
            f"Auto confirmation activated by system user: '{self.by}' \n\nRemark: {remark}"
        )


@dataclass(slots=True, eq=False)
class Target:
    """A device as the server sees it."""

    controller_id: str
    token: str
    attributes: dict[str, str] = field(default_factory=dict)
    request_attributes: bool = True
    update_status: str = "UNKNOWN"
    assigned: DistributionSet | None = None
    installed: DistributionSet | None = None
    installed_at: int | None = None
    polls: int = 0
    polled_at: int | None = None
    auto_confirm: AutoConfirm | None = None
    created: int = 0
    name: str = ""
    description: str = ""
    group: str = ""
    address: str = ""
    metadata: dict[str, str] = field(default_factory=dict)

"""What a staged rollout is: groups of targets, and the conditions under which the next group begins."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from agent.demo.server_values import Action, DistributionSet

TARGET_STATUSES = ("notstarted", "scheduled", "running", "finished", "error", "cancelled")
_SHOWN = {
    "SCHEDULED": "scheduled",
    "ERROR": "error",
    "FINISHED": "finished",
    "CANCELED": "cancelled",
}  # all others are running; DOWNLOADED depends on the type


@dataclass(frozen=True, slots=True)
class Conditions:
    """When a group counts as a success or a failure (percentages), and what follows."""

    success: str = "50"
    success_action: str = "NEXTGROUP"
    error: str = "50"
    error_action: str = "PAUSE"


@dataclass(slots=True, eq=False)
class Group:
    """A part of the targets; ``percentage`` is of all of them."""

    id: str
    name: str
    percentage: float
    conditions: Conditions
    confirm: bool = True
    status: str = "CREATING"
    targets: list[str] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    description: str = ""


@dataclass(slots=True, eq=False)
class Rollout:
    """A distribution set for many targets, group by group."""

    id: str
    name: str
    ds: DistributionSet
    query: str
    force: str
    groups: list[Group]
    created: int
    status: str = "CREATING"
    force_time: int = 0
    total: int = 0
    description: str = ""

    @property
    def done_status(self) -> str:
        """The status of an action that counts as a success."""
        return "DOWNLOADED" if self.force == "downloadonly" else "FINISHED"


def as_float(value: float) -> float:
    """Rounds to Java's ``float``, in which hawkBit keeps percentages."""
    return float(struct.unpack("f", struct.pack("f", value))[0])


def percent_of_rest(groups: Sequence[Group], index: int) -> float:
    """The share of a group in the targets that earlier groups have left (``toPercentFromTheRest``)."""
    rest = 100.0 - sum(group.percentage for group in groups[:index])
    return 100.0 if rest <= 1 else min(100.0, as_float(groups[index].percentage * 100) / rest)


def rounded(value: float) -> int:
    """Java's ``Math.round``: halves go up."""
    return int(value + 0.5)


def share_out(groups: Sequence[Group], total: int) -> list[int]:
    """How many targets each group gets."""
    counts, left = [], total
    for index in range(len(groups)):
        count = min(rounded(percent_of_rest(groups, index) * left / 100), left)
        counts.append(count)
        left -= count
    return counts


def count_statuses(rollout: Rollout, groups: Sequence[Group]) -> dict[str, int]:
    """How many targets are how far."""
    counts = dict.fromkeys(TARGET_STATUSES, 0)
    for group in groups:
        for action in group.actions:
            done = action.status == rollout.done_status
            counts["finished" if done else _SHOWN.get(action.status, "running")] += 1
        counts["notstarted"] += len(group.targets) - len(group.actions)
    return counts

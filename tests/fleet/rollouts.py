"""A staged rollout over a whole fleet, as an operator does it, and what must be true of every device afterwards."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.management import Management, until

from fleet import operator
from fleet.device import Device
from fleet.judge import lies
from fleet.systems import System, bundle_of
from fleet.turns import Turns

NAMES = ("canary", "r10", "r50", "r100")
SHARES = (1, 9, 40, 50)  # per cent of all devices, so that 1, 10, 50, 100 have it in the end
TOKEN, GATEWAY = "a-token-of-the-fleet", "a-gateway-token-for-tests"
LOOK = 20.0  # seconds of the devices between two looks of the operator


def shares(*, of_rest: bool) -> Iterator[float]:
    """The shares of the groups in per cent as a server wants them: of all devices, or of those that are left."""
    left = 100
    for share in SHARES:
        yield share * 100 / left if of_rest else share
        left -= share


@dataclass(frozen=True, slots=True)
class Figures:
    """What a rollout cost from its start until nothing happened any more, and how it ended.

    Args:
        seconds: of this machine.
        own_seconds: of the devices.
        requests: of the devices, all together.
        polls: of these.
        statuses: how many targets the server counts in which state.
    """

    devices: int
    seconds: float
    own_seconds: float
    requests: int
    polls: int
    statuses: Mapping[str, int]

    def __str__(self) -> str:
        ends = ", ".join(f"{count} {word}" for word, count in sorted(self.statuses.items()) if count)
        return (
            f"{self.devices} devices, {self.seconds:.1f} s ({self.own_seconds:.0f} s of theirs), "
            f"{self.requests} requests, {self.polls} of them polls: {ends}"
        )


@dataclass(slots=True)
class Fleet:
    """Many devices on one server; ``with surroundings()`` must be around it.

    Args:
        management: of the server.
        url: of the server.
        directory: for disks and bundles.
        turns: the clock of the devices.
        size: how many there are.
        of_rest: whether a group's share is one of the devices that no earlier group has (hawkBit before 0.5.0), not of all.
        prefix: of the devices' names, for the filter of a rollout.
    """

    management: Management
    url: str
    directory: Path
    turns: Turns
    size: int = 200
    of_rest: bool = False
    prefix: str = field(default_factory=lambda: operator.unique("fleet"))
    devices: list[Device] = field(default_factory=list)

    def switch_on(self, version: str) -> None:
        """All devices, with this version from the factory, until the server knows them all.

        Half of them have tokens of their own, half the gateway's; a third has no clock that can be believed.
        """
        operator.accept_tokens(self.management, GATEWAY)
        self.management.configure("pollingTime", "00:05:00")
        names = [f"{self.prefix}-{number:03}" for number in range(self.size)]
        operator.register(self.management, names[::2], TOKEN)
        for number, name in enumerate(names):
            auth = ("gateway", GATEWAY) if number % 2 else ("target", TOKEN)
            device = Device(
                self.directory / name, name, self.url, auth, self.turns, System(version), synchronised=number % 3 > 0
            )
            self.devices.append(device)
            self.turns.add(device.live, after=number * 60.0 / self.size)
        self.turns.run(lambda: all(device.seen.quiet for device in self.devices), LOOK, 1800)

    def roll_out(self, system: System, *, success: int = 100, failure: int = 2) -> int:
        """Uploads a system and makes a rollout of it over all devices, ready to start; returns its id.

        Args:
            success: per cent of a group that must have succeeded before the next one begins.
            failure: when more than this per cent of a group has failed, nothing more begins.
        """
        bundle = bundle_of(system, self.directory / operator.unique("bundles"))
        distribution = operator.publish(self.management, bundle, system.version)
        groups = [
            {
                "name": name,
                "targetPercentage": share,
                "successCondition": {"condition": "THRESHOLD", "expression": str(success)},
                "successAction": {"action": "NEXTGROUP", "expression": ""},
                "errorCondition": {"condition": "THRESHOLD", "expression": str(failure)},
                "errorAction": {"action": "PAUSE", "expression": ""},
            }
            for name, share in zip(NAMES, shares(of_rest=self.of_rest), strict=True)
        ]
        query, name = f"controllerId=={self.prefix}-*", operator.unique("rollout")
        rollout = self.management.rollout(name, distribution, query, groups, type="forced")
        until("the rollout is ready", lambda: self.status(rollout) == "ready", every=0.05)
        return rollout

    def status(self, rollout: int) -> str:
        """How the server says that a rollout is."""
        return str(self.management.rollout_status(rollout)["status"]).lower()

    def run(self, rollout: int, ended: str, most: float = 14400.0) -> Figures:
        """Starts a rollout and lets the devices live until it has this status, and no device has anything to do."""
        requests, polls, own, began = self._requests(), self._polls(), self.turns.now, time.monotonic()
        self.management.start(rollout)
        resting: Callable[[], bool] = lambda: all(device.finished() for device in self.devices)  # noqa: E731
        self.turns.run(lambda: resting() and self.status(rollout) == ended, LOOK, most)
        totals = self.management.rollout_status(rollout)["totalTargetsPerStatus"]
        return Figures(
            devices=self.size,
            seconds=time.monotonic() - began,
            own_seconds=self.turns.now - own,
            requests=self._requests() - requests,
            polls=self._polls() - polls,
            statuses={str(word).lower(): int(count) for word, count in totals.items()},
        )

    def _requests(self) -> int:
        return sum(device.seen.requests for device in self.devices)

    def _polls(self) -> int:
        return sum(device.seen.polls for device in self.devices)

    def groups(self, rollout: int) -> dict[str, list[Device]]:
        """The devices of each group, as the server has chosen them."""
        by_name = {device.controller_id: device for device in self.devices}
        found: dict[str, list[Device]] = {}
        for group in self.management.groups(rollout):
            path = f"/rollouts/{rollout}/deploygroups/{group['id']}/targets"
            targets = self.management.pages(path, "name:ASC")
            found[group["name"]] = [by_name[target["controllerId"]] for target in targets]
        return found

    def group_statuses(self, rollout: int) -> dict[str, str]:
        """How each group is."""
        return {group["name"]: str(group["status"]).lower() for group in self.management.groups(rollout)}

    def actions(self, device: Device) -> list[dict[str, Any]]:
        """All actions that the server has for a device, newest first."""
        return self.management.pages(f"/targets/{device.controller_id}/actions")

    def wrong(self, device: Device, word: str, codes: tuple[str, ...], new: str) -> list[str]:
        """What is wrong about a device that has had exactly one action: on it, or in what the server believes of it.

        Args:
            device: at rest.
            word: the one that must be true: FINISHED, ERROR.
            codes: one of these reasons must have been told with a failure.
            new: the version of the update.
        """
        (action,) = self.actions(device)
        said = operator.word(self.management, device.controller_id, int(action["id"]))
        right = new if word == "FINISHED" else device.factory
        return [*lies(device, said, {right: word}, codes, new), *self.strange_attributes(device)]

    def strange_attributes(self, device: Device) -> list[str]:
        """What the attributes on the server say that is not so."""
        told = self.management.attributes(device.controller_id)
        wanted = {"version": device.board.system.version, "slot": device.board.booted}
        return [
            f"attribute {key} is {told.get(key)}, not {value}"
            for key, value in wanted.items()
            if told.get(key) != value
        ]


def versions(devices: Sequence[Device]) -> Counter[str]:
    """How many devices run which version."""
    return Counter(device.board.system.version for device in devices)

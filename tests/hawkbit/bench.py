"""Our own device at a server with a Management API: the real daemon and fetcher, and what the operator sees of them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet.device import Device
from fleet.systems import GOOD, System, bundle_of
from fleet.turns import Alone

from agent.daemon.machine import State
from hawkbit.lab import Lab

OLD, NEW = "1.0.0", "1.1.0"


@dataclass
class Run:
    """A device that has come to rest, and its action."""

    lab: Lab
    device: Device
    action: int

    @property
    def name(self) -> str:
        return self.device.controller_id

    @property
    def kinds(self) -> list[str]:
        """The types of the entries, oldest first."""
        return [entry["type"] for entry in self.lab.operator.statuses(self.name, self.action)][::-1]

    @property
    def texts(self) -> str:
        """All that the operator reads in the history."""
        return "\n".join(text for text in self.lab.operator.messages(self.name, self.action) if text)

    @property
    def running(self) -> str:
        """The version that the device runs."""
        return self.device.board.system.version

    def known(self) -> dict[str, Any]:
        """The device as the operator sees it."""
        return dict(self.lab.operator.call("GET", f"/targets/{self.name}"))


class Bench:
    """Devices and bundles for them."""

    def __init__(self, lab: Lab, home: Path) -> None:
        self.lab, self.home = lab, home

    def device(self, token: tuple[str, str] | None = None, *, url: str = "", **overrides: object) -> Device:
        """A device with the old system; known to the server unless it brings a token. ``url`` is a way round to it."""
        name = f"real-{uuid.uuid4().hex[:10]}"
        if token is None:
            self.lab.operator.target(name, token=f"token-of-{name}")
            token = ("target", f"token-of-{name}")
        where = url or self.lab.instance.url
        return Device(self.home / name, name, where, token, Alone(), System(OLD), rests=True, overrides=overrides)

    def set(self, health: str = GOOD, signer: str = "good") -> int:
        """A distribution set with a real bundle of the new system."""
        name = uuid.uuid4().hex[:10]
        module = self.lab.operator.module(f"rootfs-{name}", NEW)
        self.lab.operator.artifact(module, bundle_of(System(NEW, health), self.home, signer=signer))
        return self.lab.operator.distribution(f"fw-{name}", NEW, [module])

    def update(
        self,
        health: str = GOOD,
        type: str = "forced",
        *,
        signer: str = "good",
        at: State | None = None,
        act: Callable[[Device, int], None] = lambda _device, _action: None,
        settings: Mapping[str, object] | None = None,
        polls: int = 0,
        **assignment: object,
    ) -> Run:
        """Assigns the new system and lets the device live until it has nothing left to do.

        Args:
            health: how the new system turns out.
            type: of the assignment.
            signer: of the bundle.
            at: the state of the device in which ``act`` is called, once.
            act: gets the device and the action.
            settings: of the device.
            polls: it rests after so many requests, because the server never stops to ask.
            assignment: more about the assignment.
        """
        device = self.device(**(settings or {}))
        action = self.lab.operator.assign(self.set(health, signer), device.controller_id, type, **assignment)
        left = [act]

        def entered(state: State) -> None:
            if state is at and left:
                left.pop()(device, action)

        device.on_state = entered
        if polls:
            device.finished = lambda: device.seen.requests >= polls  # type: ignore[method-assign]
        device.live()
        return Run(self.lab, device, action)

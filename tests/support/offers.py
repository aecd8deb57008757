"""A hawkBit as the activities see it: documents by its rules, from the state of one action, in the hands of a test."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import cast

from agent.daemon.network import Response, document
from agent.errors import EnvironmentFault
from agent.hawkbit.feedback import Feedback
from agent.hawkbit.model import Artifact, Base, Chunk, Deployment, Handling, Link, Window
from support.pretend import Clock, Office

BASE = "https://server/DEFAULT/controller/v1/dev"


def artifact(filename: str = "b.raucb", digest: str = "a") -> Artifact:
    """A file."""
    links = MappingProxyType({"download-http": f"{BASE}/softwaremodules/3/artifacts/{filename}"})
    return Artifact(filename, 1000, digest * 64, None, None, links)


def chunk(*artifacts: Artifact, part: str = "os", version: str = "2.0.0", **metadata: str) -> Chunk:
    """A software module."""
    return Chunk(part, "rootfs", version, artifacts or (artifact(),), MappingProxyType(metadata))


@dataclass
class Action:
    """What the server wants. ``status`` is RUNNING, WAIT_FOR_CONFIRMATION, CANCELING, or an end."""

    id: str
    download: str = "forced"
    update: str = "forced"
    window: str | None = None
    chunks: tuple[Chunk, ...] = field(default_factory=lambda: (chunk(),))
    status: str = "RUNNING"
    revision: int = 0
    history: tuple[str, ...] = ()

    @property
    def open(self) -> bool:
        return self.status in ("RUNNING", "WAIT_FOR_CONFIRMATION", "CANCELING")


class Hawkbit(Office):
    """Polls, documents and feedback by hawkBit's rules, oldest open action first; feedback arrives at once.

    Attributes:
        actions: in order of their ids.
        down: the server cannot be reached.
        ended: how each action ended, for every message that ended one.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self.actions: dict[str, Action] = {}
        self.down = False
        self.reads = 0
        self.ended: list[tuple[str, str]] = []
        self.on_poll = self._answer

    def assign(self, action: Action) -> Action:
        """A new assignment."""
        self.actions[action.id] = action
        return action

    def change(self, action_id: str, **changes: object) -> None:
        """An operator, or time, changes an action: the mark in its link changes, too."""
        action = self.actions[action_id]
        self.actions[action_id] = replace(action, revision=action.revision + 1, **changes)  # type: ignore[arg-type]  # its fields

    def poll(self, *, keep: bool = False) -> Base:
        if self.down:
            self.polls += 1
            self.plan.next_poll = self.plan.not_before = self._clock.now + 600
            raise EnvironmentFault("net.connect", "no network")
        self.plan.next_poll, self.plan.not_before = self._clock.now + self.plan.poll_interval, 0.0
        return cast("Base", super().poll(keep=keep))

    def _answer(self) -> Base:
        action = next((each for each in self.actions.values() if each.open), None)
        if action is None:
            return Base()
        kinds = {"CANCELING": "cancelAction", "WAIT_FOR_CONFIRMATION": "confirmationBase"}
        kind = kinds.get(action.status, "deploymentBase")
        mark = "" if kind == "cancelAction" else f"?c={action.revision}"
        link = Link(f"{BASE}/{kind}/{action.id}{mark}", action.id)
        field_name = {"cancelAction": "cancel", "confirmationBase": "confirmation"}.get(kind, "deployment")
        return Base(**{field_name: link})  # type: ignore[arg-type]  # one of its links

    def deployment(self, href: str, *, keep: bool = False) -> Deployment:
        if self.down:
            raise EnvironmentFault("net.connect", "no network")
        self.reads += 1
        action = self.actions.get(href.partition("?")[0].rpartition("/")[2])
        if action is None or action.status in ("CANCELING", "CANCELED"):
            document(Response(404, {}, b""))
        assert action is not None
        download, update = cast("Handling", action.download), cast("Handling", action.update)
        return Deployment(
            action.id, download, update, cast("Window | None", action.window), action.chunks, action.history
        )

    def say(self, message: Feedback) -> None:
        super().say(message)
        action = self.actions.get(message.action_id)
        if action is None or not action.open:
            return
        if message.kind == "confirmation":
            if action.status == "WAIT_FOR_CONFIRMATION" and message.execution == "confirmed":
                self.change(action.id, status="RUNNING")
        elif message.kind == "cancel":
            if action.status == "CANCELING":
                self.change(action.id, status="CANCELED" if message.execution == "closed" else "RUNNING")
                if message.execution == "closed":
                    self.ended.append((action.id, "cancelled"))
        elif message.execution == "closed":
            self.change(action.id, status="FINISHED" if message.finished == "success" else "ERROR")
            self.ended.append((action.id, message.finished))
        elif message.execution == "downloaded" and action.update == "skip" and action.window is None:
            self.change(action.id, status="DOWNLOADED")
            self.ended.append((action.id, "downloaded"))
        else:
            self.change(action.id, history=(*message.details, *action.history))

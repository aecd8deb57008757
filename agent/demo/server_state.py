"""What the development server knows, and how it changes: hawkBit's action state machine in memory.

No HTTP here. Ids are text, as in DDI documents. Times are milliseconds since 1970.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

MAX_ENTRIES = 1000  # hawkBit's maxStatusEntriesPerAction; final messages are exempt
MAX_MESSAGES = 50  # hawkBit's maxMessagesPerActionStatus
MAX_MESSAGE = 512  # longer ones are split, and the parts count
FORCE_TYPES = ("forced", "soft", "downloadonly")


class Refused(Exception):
    """The request is answered with an error status."""

    def __init__(self, status: int, message: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message


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


@dataclass(slots=True)
class Module:
    """A software module. It counts as a distribution set of one where a set is wanted."""

    id: str
    name: str
    version: str
    part: str = "os"
    artifacts: list[Artifact] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DistributionSet:
    """What is assigned: a name, a version, modules."""

    id: str
    name: str
    version: str
    modules: tuple[Module, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of an action's history; ``time`` is the device's if it sent one, ``reported`` the server's."""

    type: str
    messages: tuple[str, ...]
    code: int | None
    time: int
    reported: int


@dataclass(slots=True)
class Action:
    """A target is to get a distribution set."""

    id: str
    controller_id: str
    ds: DistributionSet
    force: str = "forced"
    window: str | None = None
    status: str = "RUNNING"
    active: bool = True
    revision: int = 0
    last_code: int | None = None
    entries: list[Entry] = field(default_factory=list)

    @property
    def cancelling(self) -> bool:
        """The operator wants it back, and the device has not answered."""
        return self.active and self.status == "CANCELING"


@dataclass(slots=True)
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
    installed_action: str = ""
    polls: int = 0


class State:
    """Everything in memory. Not safe for threads: the server holds its lock around every call."""

    def __init__(self) -> None:
        self.targets: dict[str, Target] = {}
        self.modules: dict[str, Module] = {}
        self.sets: dict[str, DistributionSet] = {}
        self.actions: dict[str, Action] = {}
        self.max_entries = MAX_ENTRIES
        self._last_id = 0

    def new_id(self) -> str:
        """The next number; one sequence for everything, as an operator would see it in a fresh database."""
        self._last_id += 1
        return str(self._last_id)

    def add_target(self, controller_id: str, token: str = "") -> Target:
        """Registers a device; an existing one is returned as it is."""
        target = self.targets.get(controller_id)
        if target is None:
            target = Target(controller_id, token or secrets.token_hex(16))
            self.targets[controller_id] = target
        return target

    def add_module(
        self, name: str, version: str, part: str = "os", metadata: Mapping[str, str] | None = None
    ) -> Module:
        """Makes a software module without files."""
        module = Module(self.new_id(), name, version, part, metadata=dict(metadata or {}))
        self.modules[module.id] = module
        return module

    def add_artifact(self, module: Module, path: Path, filename: str) -> Artifact:
        """Takes a file into a module; it is served from where it lies."""
        if any(artifact.filename == filename for artifact in module.artifacts):
            raise Refused(409, "the module has a file of this name")
        digests = [hashlib.sha1(usedforsecurity=False), hashlib.md5(usedforsecurity=False), hashlib.sha256()]
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                for digest in digests:
                    digest.update(piece)
        sha1, md5, sha256 = (digest.hexdigest() for digest in digests)
        artifact = Artifact(self.new_id(), filename, path, path.stat().st_size, sha1, md5, sha256)
        module.artifacts.append(artifact)
        return artifact

    def add_set(self, name: str, version: str, modules: Sequence[Module]) -> DistributionSet:
        """Makes a distribution set."""
        made = DistributionSet(self.new_id(), name, version, tuple(modules))
        self.sets[made.id] = made
        return made

    def assign(self, controller_id: str, ds: DistributionSet, force: str = "forced") -> Action | None:
        """Gives a set to a target; None when the target has it assigned already.

        An action that is still open is cancelled softly, and its cancellation is offered first.
        """
        if force not in FORCE_TYPES:
            raise Refused(400, "unknown type of assignment")
        target = self.find_target(controller_id)
        if target.assigned is ds:
            return None
        for other in self.open_actions(controller_id):
            if not other.cancelling:
                self.cancel(other)
        action = Action(self.new_id(), controller_id, ds, force)
        self.actions[action.id] = action
        target.assigned, target.update_status = ds, "PENDING"
        self.record(action, "RUNNING", ("Update Server: Assignment initiated by user 'admin'",), quota=False)
        return action

    def cancel(self, action: Action, *, force: bool = False) -> None:
        """The operator takes an action back: first softly, and by force only after that."""
        if not action.active:
            raise Refused(405, "the action is not cancellable")
        if force:
            if not action.cancelling:
                raise Refused(405, "the action must be cancelled softly first")
            self._close_cancelled(action, "Update Server: a force quit has been performed")
            return
        if action.cancelling:
            raise Refused(405, "the action is being cancelled already")
        action.status = "CANCELING"
        self.record(action, "CANCELING", ("Update Server: manual cancelation requested",), quota=False)

    def find_target(self, controller_id: str) -> Target:
        """Returns a target or refuses with 404."""
        target = self.targets.get(controller_id)
        if target is None:
            raise Refused(404, "unknown target")
        return target

    def find_action(self, action_id: str, controller_id: str = "") -> Action:
        """Returns an action; one of another target counts as unknown."""
        action = self.actions.get(action_id)
        if action is None or controller_id not in ("", action.controller_id):
            raise Refused(404, "unknown action")
        return action

    def open_actions(self, controller_id: str) -> list[Action]:
        """The actions of a target that are not closed, oldest first."""
        return [a for a in self.actions.values() if a.active and a.controller_id == controller_id]

    def current(self, controller_id: str) -> Action | None:
        """The action that the next poll is about."""
        return next(iter(self.open_actions(controller_id)), None)

    def record(
        self,
        action: Action,
        kind: str,
        messages: Sequence[str] = (),
        *,
        code: int | None = None,
        timestamp: int | None = None,
        quota: bool = True,
    ) -> None:
        """Adds a line to the history; refuses with 429 when the quota is used up."""
        parts = [text[n : n + MAX_MESSAGE] for text in messages for n in range(0, max(len(text), 1), MAX_MESSAGE)]
        if len(parts) > MAX_MESSAGES or (quota and len(action.entries) >= self.max_entries):
            raise Refused(429, "quota exceeded")
        if code is not None:
            action.last_code = code
            parts.append(f"Device reported status code: {code}")
        now = int(time.time() * 1000)
        action.entries.append(Entry(kind, tuple(parts), code, now if timestamp is None else timestamp, now))
        action.revision += 1

    def retrieved(self, action: Action) -> None:
        """The device has read the deployment; noted once until something else happens."""
        if action.active and action.entries[-1].type != "RETRIEVED":
            self.record(action, "RETRIEVED", ("Update Server: Target retrieved update action and should start now",))

    def finish(self, action: Action, timestamp: int | None) -> None:
        """The device says that it runs the new system."""
        target = self.targets[action.controller_id]
        now = int(time.time() * 1000) if timestamp is None else timestamp
        action.status, action.active = "FINISHED", False
        if target.installed_at is None or target.installed_at < now:
            target.installed, target.installed_at, target.installed_action = action.ds, now, action.id
        target.request_attributes = True
        if target.assigned is target.installed:
            target.update_status = "IN_SYNC"

    def fail(self, action: Action) -> None:
        """The device says that the update failed; the set can be assigned again."""
        target = self.targets[action.controller_id]
        action.status, action.active = "ERROR", False
        target.assigned, target.update_status = None, "ERROR"

    def downloaded(self, action: Action) -> None:
        """Closes a download-only action; for any other the message is information."""
        if action.force != "downloadonly":
            return
        target = self.targets[action.controller_id]
        action.status, action.active = "DOWNLOADED", False
        target.update_status, target.request_attributes = "IN_SYNC", True

    def cancelled(self, action: Action) -> None:
        """The device has stopped."""
        self._close_cancelled(action, "")

    def cancel_refused(self, action: Action) -> None:
        """The device goes on."""
        action.status = "RUNNING"

    def _close_cancelled(self, action: Action, message: str) -> None:
        target = self.targets[action.controller_id]
        action.status, action.active = "CANCELED", False
        if message:
            self.record(action, "CANCELED", (message,), quota=False)
        following = self.current(action.controller_id)
        target.assigned = following.ds if following else target.installed
        target.update_status = "PENDING" if following else "IN_SYNC"

"""What the development server knows, in memory. How it changes stands in ``server_actions`` and ``server_confirmation``.

Not safe for threads: the server holds its lock around every call.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from agent.demo.server_config import Config
from agent.demo.server_rollout_values import Rollout
from agent.demo.server_values import Action, Artifact, DistributionSet, Entry, Module, Refused, Target, now_ms

MAX_ENTRIES = 1000  # hawkBit's maxStatusEntriesPerAction; final messages are exempt
MAX_MESSAGES = 50  # hawkBit's maxMessagesPerActionStatus
MAX_MESSAGE = 512  # longer ones are split, and the parts count
MAX_ATTRIBUTES = 100  # hawkBit's maxAttributeEntriesPerTarget


class State:
    """Everything.

    Args:
        config: the tenant's.
    """

    def __init__(self, config: Config | None = None) -> None:
        self.config = config or Config()
        self.targets: dict[str, Target] = {}
        self.modules: dict[str, Module] = {}
        self.sets: dict[str, DistributionSet] = {}
        self.actions: dict[str, Action] = {}
        self.rollouts: dict[str, Rollout] = {}
        self.max_entries = MAX_ENTRIES
        self.quota_status = 429  # 403 up to hawkBit 0.9
        self.changes = 0  # grows when a rollout may have to be looked at
        self.scheduled_at = 0
        self._of_target: dict[str, list[Action]] = {}
        self._open: dict[str, dict[str, Action]] = {}
        self._last_id = 0

    def new_id(self) -> str:
        """The next number; one sequence for everything, so that no two things can be mistaken for each other."""
        self._last_id += 1
        return str(self._last_id)

    def add_target(self, controller_id: str, token: str = "") -> Target:
        """Registers a device; an existing one is returned as it is."""
        target = self.targets.get(controller_id)
        if target is None:
            target = Target(controller_id, token or secrets.token_hex(16), created=now_ms(), name=controller_id)
            self.targets[controller_id] = target
        return target

    def remove_target(self, controller_id: str) -> None:
        """Forgets a device and its actions."""
        self.changes += 1
        self.find_target(controller_id)
        del self.targets[controller_id]
        for action in self._of_target.pop(controller_id, []):
            del self.actions[action.id]
        self._open.pop(controller_id, None)

    def add_module(
        self, name: str, version: str, part: str = "os", metadata: Mapping[str, str] | None = None
    ) -> Module:
        """Makes a software module without files."""
        module = Module(self.new_id(), name, version, part, metadata=dict(metadata or {}))
        self.modules[module.id] = module
        return module

    def add_artifact(self, module: Module, path: Path, filename: str) -> Artifact:
        """Takes a file into a module; it is served from where it lies."""
        if module.locked:
            raise Refused(423, "the module is locked", "hawkbit.server.error.locked")
        if any(artifact.filename == filename for artifact in module.artifacts):
            raise Refused(409, "the module has a file of this name")
        digests = [hashlib.sha1(usedforsecurity=False), hashlib.md5(usedforsecurity=False), hashlib.sha256()]
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                for digest in digests:
                    digest.update(piece)
        sha1, md5, sha256 = (digest.hexdigest() for digest in digests)
        artifact = Artifact(self.new_id(), filename, path, path.stat().st_size, sha1, md5, sha256, now_ms())
        module.artifacts.append(artifact)
        return artifact

    def add_set(
        self, name: str, version: str, modules: Sequence[Module], *, migration_step: bool = False, type: str = "os"
    ) -> DistributionSet:
        """Makes a distribution set."""
        made = DistributionSet(self.new_id(), name, version, tuple(modules), type, migration_step)
        self.sets[made.id] = made
        return made

    def add_action(self, action: Action) -> None:
        """Takes in a new action."""
        self.actions[action.id] = action
        self._of_target.setdefault(action.controller_id, []).append(action)
        if action.active:
            self._open.setdefault(action.controller_id, {})[action.id] = action

    def remove_action(self, action: Action) -> None:
        """Forgets an action."""
        self.close(action, action.status)
        del self.actions[action.id]
        self._of_target[action.controller_id].remove(action)

    def change(self, action: Action, status: str) -> None:
        """Gives an action another status."""
        if action.status != status:
            self.changes += 1
            action.status = status
            action.version += 1
            action.revision += 1

    def open(self, action: Action, status: str) -> None:
        """Activates an action that waited for its rollout."""
        self.change(action, status)
        action.active = True
        self._open.setdefault(action.controller_id, {})[action.id] = action

    def close(self, action: Action, status: str) -> None:
        """Ends an action."""
        self.change(action, status)
        action.active = False
        self._open.get(action.controller_id, {}).pop(action.id, None)

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

    def actions_of(self, controller_id: str) -> Sequence[Action]:
        """All actions of a target, oldest first."""
        return self._of_target.get(controller_id, [])

    def open_actions(self, controller_id: str) -> list[Action]:
        """The actions of a target that are not closed, oldest first."""
        return sorted(self._open.get(controller_id, {}).values(), key=lambda action: int(action.id))

    def current(self, controller_id: str) -> Action | None:
        """The action that the next poll is about."""
        return min(self._open.get(controller_id, {}).values(), key=lambda action: int(action.id), default=None)

    def installed_action(self, target: Target) -> Action | None:
        """The last finished action of the set that the target has installed."""
        for action in reversed(self.actions_of(target.controller_id)):
            if target.installed is not None and action.ds is target.installed and action.status == "FINISHED":
                return action
        return None

    def record(
        self,
        action: Action,
        kind: str,
        messages: Iterable[str] = (),
        *,
        code: int | None = None,
        timestamp: int | None = None,
    ) -> None:
        """Adds a line to the history, whatever the quotas say."""
        now = now_ms()
        time = now if timestamp is None else timestamp
        action.entries.append(Entry(kind, tuple(split_messages(messages)), code, time, now))
        action.revision += 1

    def check_quota(self, action: Action, kind: str, messages: Iterable[str]) -> None:
        """Refuses what would be too much; final messages are exempt from the number of entries, not from their length."""
        full = 0 < self.max_entries <= len(action.entries) and kind not in ("FINISHED", "ERROR")
        if full or len(split_messages(messages)) > MAX_MESSAGES:
            raise Refused(self.quota_status, "quota exceeded", "hawkbit.server.error.quota.tooManyEntries")


def split_messages(messages: Iterable[str]) -> list[str]:
    """Messages as they are stored: none longer than ``MAX_MESSAGE``."""
    return [text[n : n + MAX_MESSAGE] for text in messages for n in range(0, max(len(text), 1), MAX_MESSAGE)]

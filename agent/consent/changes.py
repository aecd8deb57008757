"""The policy in force, and what was changed of it on the device: ``policy.json``."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from agent.config import PolicySettings
from agent.consent import policy
from agent.consent.windows import Window, parse
from agent.errors import ConfigError, OtaError, PolicyError

if TYPE_CHECKING:
    import datetime as dt

    from agent.daemon.store import Store

_NAME = "policy"
_SCHEMA = 1
_LOCALTIME = Path("/etc/localtime")
_RATE = "bandwidth-limit"
_log = logging.getLogger(__name__)


class Changes:
    """Holds the policy.

    What cannot be read or used any more was perhaps an opt-out: from then on every update needs consent, until somebody sets
    the policy again.

    Args:
        configured: ``[policy]``.
        max_rate: ``server.max-rate``, in bytes per second.
        store: keeps the changes.

    Attributes:
        policy: in force.
        windows: of it.

    Raises:
        ConfigError: ``policy.time-zone``.
    """

    def __init__(self, configured: PolicySettings, max_rate: int, store: Store) -> None:
        self._configured = configured
        self._max_rate = max_rate
        self._store = store
        self._changes: dict[str, object] = {}
        self._zone: tuple[str, dt.tzinfo] | None = None
        self.policy = configured
        self.windows: tuple[Window, ...] = ()
        self._load()
        try:
            self._apply_usable()
        except PolicyError as error:
            raise ConfigError(error.code, error.brief, details=error.details, resolution=error.resolution) from error

    @property
    def zone(self) -> dt.tzinfo:
        """The time zone of the windows."""
        name = self.policy.time_zone
        if self._zone is None or self._zone[0] != name:
            self._zone = (name, zone_of(name))
        return self._zone[1]

    @property
    def max_rate(self) -> int:
        """Bytes per second that a download may take; 0: no limit."""
        rate = self._changes.get(_RATE, self._max_rate)
        return rate if isinstance(rate, int) else self._max_rate

    def set(self, name: str, value: object) -> None:
        """Changes one setting, durably; see ``Desk.set_policy``."""
        key = policy.setting(name)
        changes = {**self._changes, key: policy.accepted(key, value)}
        before = self.policy
        try:
            self._apply(changes)
            self._store.save(_NAME, {"schema": _SCHEMA, "changes": changes})
        except OtaError:
            self.policy = before
            self._apply(self._changes)
            raise
        self._changes = changes

    def reset(self) -> None:
        """Takes all changes back, durably."""
        self._store.save(_NAME, {"schema": _SCHEMA, "changes": {}})
        self._changes = {}
        self._apply({})

    def properties(self) -> dict[str, object]:
        """The properties of ``org.otaagent.Agent1.Policy`` that can be changed."""
        values: Mapping[str, object] = {
            key: getattr(self.policy, key.replace("-", "_")) for key in policy.CHANGEABLE if key != _RATE
        } | {_RATE: self.max_rate}
        return {
            f"Policy.{member}": list(value) if isinstance(value := values[key], tuple) else value
            for key, member in policy.CHANGEABLE.items()
        }

    def _apply(self, changes: Mapping[str, object]) -> None:
        self.policy = policy.effective(self._configured, changes)
        self.windows = tuple(parse(text) for text in self.policy.windows)
        if self.windows:
            _ = self.zone  # a zone that is not known is refused now, not when it is needed

    def _apply_usable(self) -> None:
        """A user's time zone that this system does not know must not keep it from being updated."""
        try:
            self._apply(self._changes)
        except PolicyError as error:
            if "time-zone" not in self._changes:
                raise
            _log.error("every update needs consent now: %s", error, extra={"OTA_ERROR_CODE": error.code})
            self._apply(self._careful({key: value for key, value in self._changes.items() if key != "time-zone"}))

    def _careful(self, changes: dict[str, object]) -> dict[str, object]:
        asks = changes.get("approval", self._configured.approval)
        return changes if asks != "auto" else {**changes, "approval": "ask-install"}

    def _load(self) -> None:
        try:
            data = self._store.read(_NAME)
            self._changes, lost = ({}, "") if data is None else _read(data)
            if data is not None and lost:
                self._changes = self._careful(self._changes)
                _log.error("every update needs consent now: %s", lost, extra={"OTA_ERROR_CODE": "state.unreadable"})
                self._store.put_aside(_NAME, data)
                self._store.save(_NAME, {"schema": _SCHEMA, "changes": self._changes})
        except OtaError as error:
            self._changes = self._careful(self._changes)
            _log.error("every update needs consent now: %s", error, extra={"OTA_ERROR_CODE": error.code})


def _read(data: bytes) -> tuple[dict[str, object], str]:
    """The changes that can be used, and what is wrong with the others."""
    try:
        values = json.loads(data)
        if values["schema"] != _SCHEMA:
            raise ValueError
        known = {key: value for key, value in values["changes"].items() if key in policy.CHANGEABLE}
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return {}, "what was changed of the policy cannot be read"
    found: dict[str, object] = {}
    lost = ""
    for key, value in known.items():
        try:
            found[key] = policy.accepted(key, value)
        except PolicyError as error:
            lost = str(error)
    return found, lost


def zone_of(name: str) -> dt.tzinfo:
    """A time zone, the system's with an empty name.

    Raises:
        PolicyError: ``policy.time-zone``.
    """
    from datetime import UTC
    from zoneinfo import ZoneInfo  # only where there are windows

    try:
        if name:
            return ZoneInfo(name)
        if not _LOCALTIME.exists():
            return UTC
        with _LOCALTIME.open("rb") as file:
            return ZoneInfo.from_file(file)
    except (ValueError, OSError, KeyError) as error:  # ZoneInfoNotFoundError is a KeyError
        raise PolicyError(
            "policy.time-zone", "this system does not know the time zone", details=f"{name or _LOCALTIME}: {error}",
            resolution="use a name of the IANA database, and install that on the device (tzdata)",
        ) from error  # fmt: skip


def as_record(value: object) -> str | int | bool:
    """A value of the policy as it stands in the audit log."""
    if isinstance(value, bool | int | str):
        return value
    return "; ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)

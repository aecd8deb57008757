"""What the download of one update has cost, over all fetchers, kills and restarts; and when it has been enough.

Kept in a document of its own, ``spent.json``, which is written at the first byte of a fetcher, then after each twentieth part
of the bundle, and at the end: a kill forgets at most that twentieth part. Seconds count from the first byte on, while the
device is on and in the same state of the update; so a closed maintenance window, or a night switched off, costs nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from agent.clock import Clock
from agent.config import ServerSettings
from agent.daemon.record import Record
from agent.daemon.store import Store
from agent.errors import EnvironmentFault

_log = logging.getLogger(__name__)
_NAME = "spent"
_SMALL = 64 * 1024  # bytes
_STEP = 1024 * 1024
_OPENINGS = 1024 * 1024  # bytes; opening a bundle several times costs less, however small it is
_PARTS = 20  # writes for a bundle that comes without interruption
_RETRIES = 20  # interruptions from one write to the next


@dataclass(frozen=True, slots=True)
class Spent:
    """The document.

    Attributes:
        update: which update it is about.
        bytes: that came from the network.
        retries: interruptions after which the download went on.
        seconds: that passed.
        state: of the record, when
        moment: seconds since the boot
        boot_id: with this name, it was written.
    """

    update: str = ""
    bytes: int = 0
    retries: int = 0
    seconds: float = 0.0
    state: str = ""
    moment: float = 0.0
    boot_id: str = ""


class Spending:
    """Counts, and refuses what is too much.

    Args:
        settings: the budgets.
        store: keeps the document.
        clock: for the time that passes.
    """

    def __init__(self, settings: ServerSettings, store: Store, clock: Clock) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._spent = self._load()
        self._before = self._spent
        self._saved = self._spent
        self._again = 0
        self._size = 0

    def forget(self) -> None:
        """A new update begins: it has cost nothing."""
        if self._spent != Spent():
            self._spent = self._before = Spent()
            self._save()

    def begin(self, record: Record) -> int:
        """A fetcher is going to be started for this update.

        Returns:
            How many bytes it shall fetch from one report to the next.

        Raises:
            EnvironmentFault: ``net.budget-bytes``, ``net.budget-retries``, ``net.budget-time``; not retryable.
        """
        update, now = f"{record.action_id} {record.sha256}", self._clock.boottime()
        spent = self._spent if self._spent.update == update else Spent(update)
        same = (spent.state, spent.boot_id) == (record.state.value, record.boot_id)
        waited = max(0.0, now - spent.moment) if same and spent.bytes else 0.0
        again = 1 if same and spent.bytes else 0  # costs nothing unless a byte comes
        self._spent = replace(
            spent, seconds=spent.seconds + waited, state=record.state.value, moment=now, boot_id=record.boot_id
        )
        self._before, self._again = self._spent, again
        self._size = record.size
        self._refuse_too_much()
        return max(_SMALL, min(_STEP, self._size // 100))

    def count(self, size: int, retries: int) -> None:
        """Notes what the fetcher has cost so far: bytes and retries since it was started.

        Raises:
            EnvironmentFault: ``net.budget-bytes``, ``net.budget-retries``, ``net.budget-time``; not retryable.
        """
        before, now = self._before, self._clock.boottime()
        first = self._spent.bytes == before.bytes and size > 0
        passed = max(0.0, now - self._spent.moment) if self._spent.bytes else 0.0
        self._spent = replace(
            self._spent,
            bytes=before.bytes + size,
            retries=before.retries + retries + (self._again if size else 0),
            seconds=self._spent.seconds + passed,
            moment=now,
        )
        try:
            self._refuse_too_much()
        except EnvironmentFault:
            self._save()
            raise
        bytes_since, retries_since = self._spent.bytes - self._saved.bytes, self._spent.retries - self._saved.retries
        if first or bytes_since >= max(_STEP, self._size // _PARTS) or retries_since >= _RETRIES:
            self._save()

    def end(self) -> None:
        """The fetcher has ended; what it cost is kept."""
        if self._spent.bytes != self._saved.bytes or self._spent.retries != self._saved.retries:
            self._save()

    def _refuse_too_much(self) -> None:
        spent, settings = self._spent, self._settings
        most = int(settings.budget_factor * self._size) + _OPENINGS
        if spent.bytes > most:
            raise _exhausted(
                "net.budget-bytes", "the update has downloaded more than it may",
                f"{spent.bytes} bytes for a bundle of {self._size}, {most} are allowed", "budget-factor",
            )  # fmt: skip
        if spent.retries > settings.budget_retries:
            raise _exhausted(
                "net.budget-retries", "the download was interrupted more often than it may be",
                f"{spent.retries} times, {settings.budget_retries} are allowed; {spent.bytes} of {self._size} bytes came",
                "budget-retries",
            )  # fmt: skip
        if spent.seconds > settings.budget_time:
            raise _exhausted(
                "net.budget-time", "the download took longer than it may",
                f"{spent.seconds:.0f} s, {settings.budget_time:.0f} are allowed; {spent.bytes} of {self._size} bytes came",
                "budget-time",
            )  # fmt: skip

    def _save(self) -> None:
        """A budget that cannot be kept is no reason to stop an update: the record, which is, is saved as often."""
        try:
            self._store.save(_NAME, asdict(self._spent))
        except EnvironmentFault as error:
            _log.warning("what the download has cost is not kept: %s", error, extra={"OTA_ERROR_CODE": error.code})
        self._saved = self._spent

    def _load(self) -> Spent:
        try:
            values = self._store.load(_NAME)
            return Spent() if values is None else _read(values)
        except EnvironmentFault:  # it was put aside: what was spent is not known, and nothing else depends on it
            return Spent()


def _read(values: Mapping[str, object]) -> Spent:
    """What is missing or of another kind counts as nothing."""

    def text(key: str) -> str:
        value = values.get(key)
        return value if isinstance(value, str) else ""

    def number(key: str) -> float:
        value = values.get(key)
        return value if isinstance(value, int | float) and 0 <= value < 1 << 62 else 0

    return Spent(
        text("update"), int(number("bytes")), int(number("retries")), number("seconds"), text("state"), number("moment"),
        text("boot_id"),
    )  # fmt: skip


def _exhausted(code: str, brief: str, details: str, setting: str) -> EnvironmentFault:
    return EnvironmentFault(
        code,
        brief,
        details=details,
        resolution=f"look for what interrupts or slows the connection, then assign the update again; "
        f"server.{setting} is the limit",
        retryable=False,
    )

"""The audit log of the daemon: every note is one record, durable before the work goes on."""

from __future__ import annotations

import errno
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from agent.audit.chain import START, Broken, Link, canonical, line, linked
from agent.audit.events import EVENTS
from agent.audit.files import Files, Found
from agent.audit.restraint import Restraint
from agent.clock import Clock, offset_ms, same_clock
from agent.errors import EnvironmentFault

_log = logging.getLogger(__name__)
_MAX_TEXT = 300  # characters
_MAX_DATA = 16  # values of one record


class AuditLog:
    """An ``Auditor`` over one directory. Nothing is read before the first note or question, and no file is kept open.

    Args:
        directory: where the records are; made when the first is written.
        clock: time.
        boot_id: of this boot.
        recording: whether notes are recorded, unless a user of the device has said otherwise.
        segment_size: bytes of one file.
        segments: so many files are kept; the oldest records are given up for new ones.
        earliest: seconds since the epoch before which it cannot be; asked while the clock is not set.
    """

    def __init__(
        self,
        directory: Path,
        *,
        clock: Clock,
        boot_id: str,
        recording: bool = True,
        segment_size: int = 64 * 1024,
        segments: int = 16,
        earliest: Callable[[], int] = lambda: 0,
    ) -> None:
        self._files = Files(directory)
        self._clock = clock
        self._boot_id = boot_id
        self._recording = recording
        self._segment_size = segment_size
        self._segments = segments
        self._earliest = earliest
        self._lock = threading.RLock()
        self._restraint = Restraint(boot_id)
        self._found: Found | None = None
        self._by = "settings"
        self._newest = ""  # event
        self._offset: int | None = None  # milliseconds
        self._failure = ""
        self._lost = 0
        self._unread = False

    def note(self, event: str, subject: str = "", /, **data: str | int | bool) -> None:
        """See Auditor."""
        with self._lock:
            try:
                if self._agreed():
                    self._note(event, subject, data)
            except Exception as error:  # noqa: BLE001 - a record is not worth an update
                self._not_written(error)

    @property
    def recording(self) -> bool:
        """See Auditor."""
        with self._lock:
            try:
                self._looked()
            except OSError as error:
                self._not_read(error)
            return self._recording

    def switch(self, recording: bool, by: str) -> None:
        """See Auditor."""
        with self._lock:
            if recording == self.recording:
                return
            if not recording and self._restraint.spares("audit-off", by, {}, self._now()):
                raise EnvironmentFault(
                    "audit.switched-often", "recording was switched off too often today",
                    details="each time leaves a record, and those before must not be lost for it",
                    resolution="leave it on, or switch it off tomorrow",
                )  # fmt: skip
            try:
                self._files.set_wish(recording, _short(by))
            except OSError as error:
                raise EnvironmentFault(
                    "audit.write-failed", "the audit log cannot be written", details=str(error),
                    resolution="free space on the file system of system.state-dir, or replace the medium",
                ) from error  # fmt: skip
            self._recording, self._by = recording, by
            try:
                self._note_switch()
            except Exception as error:  # noqa: BLE001 - as above; the next note records it
                self._not_written(error)

    def seal(self) -> str:
        """See Auditor."""
        at = self._at()
        return f"{at.count} {at.head}" if self._recording and at.count else ""

    @property
    def head(self) -> bytes:
        """The hash of the newest record, 32 bytes; zeros before the first, and when the medium does not give it."""
        return bytes.fromhex(self._at().head)

    @property
    def count(self) -> int:
        """The number of the newest record; 0 before the first, and when the medium does not give it."""
        return self._at().count

    def verify(self) -> tuple[bool, int]:
        """Whether the chain holds, and if not, the number of the first record that is missing or was changed.

        Raises:
            EnvironmentFault: ``audit.unreadable``.
        """
        with self._lock:
            try:
                for _ in self._files.steps():
                    pass
            except Broken as broken:
                return False, broken.seq
            except OSError as error:
                raise unreadable(error) from error
        return True, 0

    def tail(self, count: int) -> list[str]:
        """The newest records as JSON, the oldest of them first; those before the first one that is not in order.

        Raises:
            EnvironmentFault: ``audit.unreadable``.
        """
        newest: deque[str] = deque(maxlen=max(0, count))
        with self._lock:
            try:
                with suppress(Broken):
                    newest.extend(each.record.decode("ascii") for _, each in self._files.steps())
            except OSError as error:
                raise unreadable(error) from error
        return list(newest)

    def export(self) -> Iterator[bytes]:
        """The lines of a file that ``ota-agent audit verify`` can check anywhere. Slow readers keep nothing waiting.

        Raises:
            EnvironmentFault: ``audit.unreadable``.
        """
        try:
            with self._lock:
                copy = self._files.copy()
            yield from copy
        except OSError as error:
            raise unreadable(error) from error

    def _at(self) -> Link:
        with self._lock:
            try:
                return self._looked().at
            except OSError as error:
                self._not_read(error)
                return START

    def _looked(self) -> Found:
        if self._found is None:
            found = self._files.look()
            if (wish := self._files.wish()) is not None:
                self._recording, self._by = wish
            self._restraint.forget()
            for each in found.entries:
                self._restraint.remember(each.values)
            self._newest = str(found.entries[-1].values.get("event")) if found.entries else ""
            found.entries.clear()
            self._found, self._unread = found, False
        return self._found

    def _agreed(self) -> bool:
        """Whether notes are recorded; the newest record says the same, whoever has switched it while nothing ran."""
        self._looked()
        if (self._newest == "audit-off") == self._recording:
            self._note_switch()
        return self._recording

    def _note_switch(self) -> None:
        """Never left out, however many there are: ``switch`` refuses instead."""
        self._mend()
        self._look_at_the_clock()
        self._append("audit-on" if self._recording else "audit-off", _short(self._by), {})

    def _note(self, event: str, subject: str, data: dict[str, Any]) -> None:
        self._mend()
        self._look_at_the_clock()
        self._sparingly(event, subject, data)

    def _mend(self) -> None:
        """What the last power cut, or a medium that failed, has left behind is put in order before anything is added."""
        found = self._looked()
        for path in found.useless:
            self._files.remove(path)
        if found.torn and found.path is not None:
            self._files.cut(found.path, found.size)
        torn, damaged = found.torn, found.damaged
        found.torn, found.damaged, found.useless = 0, 0, []
        if damaged:
            self._append("audit-damaged", str(damaged), {"continued": found.at.count + 1})
        if torn:
            self._append("audit-torn", "", {"bytes": torn})
        if self._lost:
            self._append("audit-gap", self._failure, {"lost": self._lost})
            self._lost, self._failure = 0, ""

    def _look_at_the_clock(self) -> None:
        before, self._offset = self._offset, offset_ms(self._clock)
        if before is not None and not same_clock(before, self._offset):
            seconds = (self._offset - before) // 1000
            self._sparingly("clock", "forward" if seconds > 0 else "back", {"seconds": abs(seconds)})

    def _sparingly(self, event: str, subject: str, data: dict[str, Any]) -> None:
        subject, data = _short(subject), {key: _plain(value) for key, value in [*data.items()][:_MAX_DATA]}
        if self._restraint.spares(event, subject, data, self._now()):
            return
        if omitted := self._restraint.omitted(event):
            data["omitted"] = omitted
        self._append(event, subject, data)

    def _append(self, event: str, subject: str, data: dict[str, Any]) -> None:
        found = self._looked()
        values = self._record(found.at, event, subject, data)
        record = canonical(values)
        text = line(found.at, record)
        fresh = found.path is None or found.size + len(text) > self._segment_size
        try:
            if found.path is None or fresh:
                found.path, found.size = self._files.start(found.at, text)
            else:
                found.size = self._files.append(found.path, found.size, text)
        except OSError:
            self._found = None
            with suppress(OSError):  # of a record that is not durable nothing may stay; what does, the next look finds
                self._files.take_back(found.path, found.size, found.at)
            raise
        found.at, self._newest = linked(found.at, record), event
        self._restraint.remember(values)
        self._tell_journal(found.at.count, event, subject, data)
        with suppress(OSError):  # it is only to be able to show that records were taken away
            self._files.note_head(found.at)
        if fresh:
            try:
                self._files.make_room(self._segments)
            except OSError as error:  # there is one file too many until the next time
                _log.warning("the oldest audit records were not removed: %s", error)

    def _record(self, at: Link, event: str, subject: str, data: dict[str, Any]) -> dict[str, Any]:
        synced, wall = self._clock.synchronised(), int(self._clock.wall())
        return {
            "seq": at.count + 1,
            "boot_id": self._boot_id,
            "mono_us": self._now(),
            "wall": wall if synced else max(wall, self._earliest()),
            "wall_quality": "synced" if synced else "floor",
            "event": event,
            "subject": subject,
            "data": data,
            "prev": at.head,
        }

    def _now(self) -> int:
        return int(self._clock.boottime() * 1_000_000)

    @staticmethod
    def _tell_journal(seq: int, event: str, subject: str, data: dict[str, Any]) -> None:
        row = EVENTS.get(event)
        if row is None or not row.message_id or row.quiet:
            return
        text = f"{row.meaning}: {subject}" if subject else row.meaning
        more = ", ".join(f"{key} {value}" for key, value in data.items())
        _log.info(
            "%s%s", text, f" ({more})" if more else "",
            extra={"OTA_EVENT": event, "OTA_SUBJECT": subject, "OTA_AUDIT_SEQ": seq},
        )  # fmt: skip

    def _not_read(self, error: OSError) -> None:
        """Tells it once, until the log can be read again: everybody may ask for properties of it."""
        if not self._unread:
            _log.error("the audit log cannot be read: %s", error, extra={"OTA_ERROR_CODE": "audit.unreadable"})
        self._unread = True

    def _not_written(self, error: Exception) -> None:
        """Tells it once, until records can be written again."""
        self._found = None
        self._lost += 1
        failure = errno.errorcode.get(getattr(error, "errno", None) or 0, type(error).__name__)
        if failure != self._failure:
            _log.error(
                "the audit log cannot be written: %s", error, extra={"OTA_ERROR_CODE": "audit.write-failed"},
                exc_info=None if isinstance(error, OSError) else error,
            )  # fmt: skip
        self._failure = failure


def unreadable(error: OSError) -> EnvironmentFault:
    """The error for records that the medium does not give."""
    return EnvironmentFault(
        "audit.unreadable", "the audit log cannot be read", details=str(error),
        resolution="check the file system of system.state-dir",
    )  # fmt: skip


def _short(value: object) -> str:
    return str(value)[:_MAX_TEXT].encode("utf-8", "replace").decode()


def _plain(value: object) -> str | int | bool:
    return value if isinstance(value, bool | int) and abs(value) < 1 << 53 else _short(value)

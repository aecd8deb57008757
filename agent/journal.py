"""Where log records go: to journald with searchable fields, or to standard error.

Code logs through ``logging`` with ``extra={"OTA_STATE": ...}``; nothing else needs to know about this module. A service
started by systemd has its standard error connected to the journal and is told so by ``JOURNAL_STREAM`` (systemd.exec(5)):
only then the journal's own protocol is spoken. A daemon started by hand, by a test or by the demo writes to its terminal
and never into the journal of the machine it happens to run on.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping
from typing import TextIO

from agent.audit.events import JOURNAL_IDS

IDENTIFIER = "ota-agent"
FIELDS = (
    "OTA_STATE",
    "OTA_ACTION_ID",
    "OTA_SLOT",
    "OTA_BUNDLE_VERSION",
    "OTA_ERROR_CODE",
    "OTA_EVENT",
    "OTA_SUBJECT",
    "OTA_AUDIT_SEQ",
)

# One id for each kind of event; ``systemd/ota-agent.catalog`` explains them. An id never changes its meaning.
MESSAGE_IDS: Mapping[str, str] = {
    "idle": "df349a69eb3747538cba2a4282607673",
    "offered": "e0ef9104b0924cdcbe0f7ff06d8cefa7",
    "held": "8c40d6b89eed466b9873398eae75d746",
    "inspecting": "542299f21d094c5f84f6e216f5a935cb",
    "waiting": "6fcc4111d2c74c33b6dbb8f5c4d24911",
    "fetching": "071a4ff2f10b4998a20cbae18058ff75",
    "staging": "730694ca30914405b2b224f2d4d3a93a",
    "staged": "46fdf55b0be548039d8b067c63e5e18e",
    "activating": "49b2611170df470089b13baecd665f86",
    "rebooting": "e325cfd792e642339a29afb04c5913eb",
    "trial": "3b87456e419d456eb25103bfb3a7daf6",
    "confirming": "faa39faf3cd34227ac0f8860b6ba2d8c",
    "reverting": "25e6e2b441594e47a4fae45b9c1417e5",
    "reporting": "95de22bd6c284bb8b71521a65fa597ef",
    "error": "443b2c9b2566442789c28582565f6e67",
    **JOURNAL_IDS,
}
# syslog(3), the numbers of sd-daemon(3)
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_DEBUG = 7
_MAX_FIELD = 1024  # characters


def setup(level: int = logging.INFO) -> logging.Handler:
    """Makes all log records go to the right place; returns the handler that was installed."""
    handler: logging.Handler = JournalHandler() if _connected_to_journal(sys.stderr) else StderrHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(level)
    return handler


def priority(level: int) -> int:
    """The syslog priority of a level of ``logging``."""
    return next((number for limit, number in _PRIORITIES if level >= limit), _DEBUG)


def fields(record: logging.LogRecord) -> dict[str, str]:
    """What of a record becomes fields of its journal entry, without empty ones."""
    found = {"SYSLOG_IDENTIFIER": IDENTIFIER, "PRIORITY": str(priority(record.levelno)), "OTA_LOGGER": record.name}
    for name in FIELDS:
        value = getattr(record, name, None)
        if value not in (None, ""):
            found[name] = str(value)[:_MAX_FIELD]
    # An error is told as such, whatever the state it happened in.
    event = found.get("OTA_EVENT") or ("error" if "OTA_ERROR_CODE" in found else found.get("OTA_STATE", ""))
    if event in MESSAGE_IDS:
        found["MESSAGE_ID"] = MESSAGE_IDS[event]
    return found


class JournalHandler(logging.Handler):
    """Sends records to journald with their fields.

    Args:
        send: called with the message and the fields; None takes ``systemd.journal.send`` when it is first needed.
    """

    def __init__(self, send: Callable[..., object] | None = None) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        """Sends one record; one that cannot be sent is written to standard error."""
        try:
            if self._send is None:
                from systemd.journal import send

                self._send = send
            self._send(self.format(record), **fields(record))
        except (ImportError, OSError, ValueError):  # ImportError: no systemd-python; standard error is the journal too
            StderrHandler(prefix=True).emit(record)


class StderrHandler(logging.Handler):
    """Writes records to a stream.

    Args:
        stream: None takes standard error, as it is at the time of each record.
        prefix: mark each line with its priority, ``<6>``, as journald understands it (sd-daemon(3)).
    """

    def __init__(self, stream: TextIO | None = None, *, prefix: bool = False) -> None:
        super().__init__()
        self._stream = stream
        self._prefix = prefix

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one record."""
        try:
            stream = self._stream or sys.stderr
            mark = f"<{priority(record.levelno)}>" if self._prefix else f"{record.levelname.lower()}: "
            lines = self.format(record).splitlines() or [""]
            stream.write("".join(f"{mark}{line}\n" for line in lines))
            stream.flush()
        except (OSError, ValueError):  # the stream is closed: there is nowhere left to tell it
            self.handleError(record)


def _connected_to_journal(stream: TextIO) -> bool:
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):  # closed, or replaced by something without a descriptor
        return False
    return (device, inode) == (str(status.st_dev), str(status.st_ino))

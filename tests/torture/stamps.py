"""What a machine says on its console, and when: a thread reads the log while it is written."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path

_EVERY = 0.01  # seconds
LINES = re.compile(
    rb"OTA: (?:booting slot (?P<slot>\w+)|no slot boots, starting the rescue system (?P<rescue>\w+)|[^\r\n]+)"
    rb"|reboot: Restarting system|Kernel panic[^\r\n]*|Starting kernel"
)


class Stamps:
    """Notes times of what is said, until it is closed.

    Attributes:
        said: time and text, in the order of time.
    """

    def __init__(self, log: Path) -> None:
        self.said: list[tuple[float, str]] = []
        self._log, self._at = log, log.stat().st_size if log.exists() else 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Reads what is left, and ends."""
        self._end.set()
        self._thread.join()

    def __enter__(self) -> Stamps:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def boots(self) -> list[tuple[float, str]]:
        """The slots that the boot script started."""
        found = []
        for moment, text in self.said:
            match = LINES.match(text.encode())
            if match and (name := match["slot"] or match["rescue"]):
                found.append((moment, name.decode()))
        return found

    def _read(self) -> None:
        rest = b""
        ended = False
        while not ended:
            ended = self._end.wait(_EVERY)
            rest = self._take(rest)

    def _take(self, rest: bytes) -> bytes:
        if not self._log.exists():
            return rest
        with self._log.open("rb") as file:
            file.seek(self._at)
            new = file.read()
        self._at += len(new)
        whole, _, left = (rest + new).rpartition(b"\n")
        now = time.time()
        self.said += [(now, match[0].decode("ascii", "replace")) for match in LINES.finditer(whole)]
        return left

"""What a machine says on its console, and when: a thread reads the log while it is written."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

from agent.daemon.machine import State

_EVERY = 0.01  # seconds
_STATES = "|".join(state.value for state in State)
# GRUB and a quiet kernel say nothing; the initial RAM disk does.
_KERNEL = rb"Starting kernel|Linux version|initrd: started"
LINES = re.compile(
    rb"OTA: (?:booting slot (?P<slot>\w+)|no slot boots, starting the rescue system (?P<rescue>\w+)|[^\r\n]+)"
    rb"|(?P<reset>reboot: Restarting system)|Kernel panic[^\r\n]*|(?P<kernel>" + _KERNEL + rb")"
    rb"|ota-agent\[\d+\]: (?P<state>" + _STATES.encode() + rb")\b[^\r\n]*"
)
# What makes journald say on the console what the agent says in the journal: journald.conf(5).
FILES = {
    "etc/systemd/journald.conf.d/console.conf": "[Journal]\nForwardToConsole=yes\nMaxLevelConsole=info\nTTYPath=/dev/console\n"
}


class Stamps:
    """Notes times of what is said, until it is closed.

    Args:
        log: what the console has said so far.
        clock: gives the time to be noted.

    Attributes:
        said: time and text, in the order of time.
    """

    def __init__(self, log: Path, clock: Callable[[], float] = time.time) -> None:
        self.said: list[tuple[float, str]] = []
        self._log, self._at = log, log.stat().st_size if log.exists() else 0
        self._clock = clock
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Reads what is left, and ends."""
        self._end.set()
        self._thread.join()

    def note(self, text: str) -> None:
        """Adds what was not said on the console."""
        self.said.append((self._clock(), text))

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

    @property
    def phase(self) -> str:
        """What the device does now, as far as it has said: ``bootloader``, ``system``, or a state of the daemon."""
        return phases(self.said)[-1][1]

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
        now = self._clock()
        self.said += [(now, match[0].decode("ascii", "replace")) for match in LINES.finditer(whole)]
        return left


def phases(said: list[tuple[float, str]]) -> list[tuple[float, str]]:
    """What a device did from which moment on; it begins in its bootloader. Pure."""
    found = [(0.0, "bootloader")]
    for moment, text in said:
        match = LINES.search(text.encode())
        if match is None:
            continue
        state = match["state"]
        what = "system" if match["kernel"] else "bootloader" if match["reset"] or text.startswith("OTA:") else ""
        if state or what:
            found.append((moment, state.decode() if state else what))
    return [each for number, each in enumerate(found) if number == 0 or each[1] != found[number - 1][1]]

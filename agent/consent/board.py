"""Where a notice hangs: on D-Bus, in ``notice.json`` for programs, and in a line for whoever logs in.

The files do not outlast a restart of the device; the daemon writes them again when it starts. They are replaced as a whole, so
that a reader never sees half of one. One that cannot be written is logged: an update does not wait for it.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from agent.consent.notice import NOTHING, Notice

_log = logging.getLogger(__name__)


class Board:
    """Shows at most one notice.

    Args:
        run_dir: directory of ``notice.json``.
        motd: file of the line; None for none.
        tell: publishes properties and signals.
    """

    def __init__(self, run_dir: Path, motd: Path | None, tell: Callable[[Mapping[str, object]], None]) -> None:
        self._file = run_dir / "notice.json"
        self._motd = motd
        self._tell = tell
        self._shown: Notice | None = None
        self._bare = False

    def show(self, notice: Notice) -> bool:
        """Shows a notice; returns whether it is about another update than the one before."""
        before = self._shown
        if notice == before:
            return False
        self._shown, self._bare = notice, False
        _write(self._file, json.dumps(notice.document(), indent=1, ensure_ascii=False) + "\n")
        if self._motd is not None:
            _write(self._motd, notice.line() + "\n")
        self._tell(notice.properties())
        if before is not None and (before.action, before.version) == (notice.action, notice.version):
            return False
        self._tell({"Update.UpdateAvailable": (notice.version,)})
        return True

    def clear(self) -> None:
        """Takes it down, at first also one that a daemon before has left."""
        if self._bare:
            return
        self._bare = True
        for path in filter(None, (self._file, self._motd)):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                _log.error("%s cannot be removed: %s", path, error)
        if self._shown is not None:
            self._shown = None
            self._tell(NOTHING)

    def properties(self) -> dict[str, object]:
        """The properties that are shown now."""
        return self._shown.properties() if self._shown is not None else dict(NOTHING)


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            os.fchmod(fd, 0o644)  # for all, whatever the umask
            file.write(text)
        temporary.replace(path)
    except OSError as error:
        _log.error("%s cannot be written: %s", path, error)

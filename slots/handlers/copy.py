"""An image that is a copy of what the slot shall hold: it is written byte by byte, and read back past the cache.

The slot is a block device or a file of its own. Nothing has to understand what is in the image, with one exception: an
ext4 file system is enlarged to fill the slot if that is wanted, after the copy has proved to be right.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from slots.claim import claimed, lock
from slots.device import Target, capacity, examine, open_target, require_room
from slots.handlers.port import Content, Handler, Watch, Written
from slots.handlers.verdict import require_same
from slots.model import Slot

_CHECK, _RESIZE = ("e2fsck", "-f", "-p"), ("resize2fs",)
_TIMEOUT = 1800.0  # seconds: a check reads all metadata of what may be a slow medium of many GiB
_CORRECTED = 1  # e2fsck(8): errors were corrected


class _Copy:
    resumable = True

    def preflight(self, slot: Slot, kind: str, size: int) -> None:
        path, _ = examine(slot, booted=())
        require_room(slot, size, capacity(path))
        if slot.resize:
            from slots import programs  # see _write

            programs.require(_CHECK[0], _RESIZE[0])

    def install(self, slot: Slot, content: Content, *, booted: Sequence[str], start: int, watch: Watch) -> Written:
        with open_target(slot, booted=booted, size=content.size) as target:
            lock(target.fd, target.path)
            since = time.monotonic()
            if not slot.install_same and start == 0 and _holds(target, content, watch):
                return Written(content.sha256, 0, content.size, time.monotonic() - since)
            outcome = _write(target, content, start, watch)
        require_same(slot, outcome, content)
        if slot.resize:
            _enlarge(slot, booted)
        return outcome


def _holds(target: Target, content: Content, watch: Watch) -> bool:
    from slots.read_back import read_back  # see _write

    return read_back(target, content.size, watch.checked) == content.sha256


def _write(target: Target, content: Content, start: int, watch: Watch) -> Written:
    # Loaded only now: the daemon asks for a preflight, and has no use for what writes and digests.
    from slots.read_back import ReadBack
    from slots.writer import write_image

    with ReadBack(target, content.size, start) as reading:
        statistics = write_image(
            target,
            content.pieces(start),
            content.size,
            start=start,
            progress=watch.wrote,
            checkpoint=watch.checkpoint,
            settled=reading.settled,
        )
        since = time.monotonic()
        digest = reading.finish(watch.checked)
    return Written(digest, statistics.written, statistics.skipped, time.monotonic() - since)


def _enlarge(slot: Slot, booted: Sequence[str]) -> None:
    """resize2fs wants a file system that was checked since it was last mounted; afterwards it must be clean."""
    from slots import programs  # what runs programs costs memory, which an ordinary image has no use for

    with claimed(slot, booted=booted, size=0) as claim:
        programs.run(*_CHECK, claim.path, timeout=_TIMEOUT, accept=(0, _CORRECTED), keep=(claim.fd,))
        programs.run(*_RESIZE, claim.path, timeout=_TIMEOUT, keep=(claim.fd,))
        claim.forget_cached()
        programs.run("e2fsck", "-f", "-n", claim.path, timeout=_TIMEOUT, keep=(claim.fd,))


def handler(_: str) -> Handler:
    """The handler of every pair of this module."""
    return _Copy()

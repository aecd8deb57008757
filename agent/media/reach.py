"""The file of an update from a medium, opened again whenever it is needed, also after the medium was pulled out."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from agent.config import MediaSettings
from agent.daemon.activities.watch import Watch
from agent.daemon.context import Context
from agent.daemon.machine import State
from agent.daemon.record import Record
from agent.errors import EnvironmentFault, OtaError
from agent.media.devices import Block
from agent.media.hotplug import Hotplug
from agent.media.medium import Medium, mounted_medium

_log = logging.getLogger(__name__)


class Reach:
    """A medium that is mounted already."""

    def __init__(self, medium: Medium) -> None:
        self._medium = medium

    @contextmanager
    def file(self, record: Record) -> Iterator[int]:
        """The file of a record, open for reading."""
        fd = self._medium.open(record.url)
        try:
            yield fd
        finally:
            os.close(fd)

    def holds(self, record: Record) -> bool:
        """Whether the file is there, of the size and the time that it had; what is in it is verified anyway."""
        return any(
            (each.path, f"{each.size}:{each.mtime}") == (record.url, record.artifact) for each in self._medium.files
        )


@contextmanager
def open_again(
    context: Context,
    settings: MediaSettings,
    hotplug: Hotplug,
    present: Callable[[], Sequence[Block]],
    record: Record,
    watch: Watch,
) -> Iterator[int]:
    """Finds the medium that has the file, under whatever name it is plugged in now.

    Args:
        context: the collaborators.
        settings: ``wait`` is how long an update that is being written waits for it; another one does not.
        hotplug: tells when something was plugged in.
        present: the media that are plugged in.
        record: of the update.
        watch: of the update.

    Raises:
        OtaError: ``media.unplugged``, and what opening the file raises.
    """
    end = context.clock.boottime() + (settings.wait if record.state is State.STAGING else 0.0)
    told = False
    while True:
        hotplug.drain()  # before looking: what comes after that is news
        with ExitStack() as mount:
            fd = _find(context, settings, present(), record, watch, mount)
            if fd is not None:
                yield fd
                return
        if (left := end - context.clock.boottime()) <= 0:
            raise _unplugged(record, settings)
        if not told:
            told = True
            _wait_begins(context, record, left)
        context.inbox.listen(left, hotplug)
        watch.look()


def _find(
    context: Context, settings: MediaSettings, media: Sequence[Block], record: Record, watch: Watch, mount: ExitStack
) -> int | None:
    for block in media:
        with ExitStack() as trial:
            try:
                reach = Reach(trial.enter_context(mounted_medium(context, settings, block.node, watch.look)))
                if not reach.holds(record):
                    continue
                fd = trial.enter_context(reach.file(record))
            except OtaError as error:
                _log.info("%s: %s", block.node, error)
                continue
            mount.push(trial.pop_all())
            return fd
    return None


def _wait_begins(context: Context, record: Record, left: float) -> None:
    text = f"the medium with {record.name} was unplugged; it is waited for, {left:.0f} s at most"
    _log.warning("%s", text, extra={"OTA_ERROR_CODE": "media.unplugged"})
    context.tell(
        {
            "Media": [("", record.url, "waiting", "plug the medium in again")],
            "LastError": ("media.unplugged", text, "plug the medium in again; the update goes on where it stopped"),
        }
    )


def _unplugged(record: Record, settings: MediaSettings) -> EnvironmentFault:
    return EnvironmentFault(
        "media.unplugged", "the medium with the bundle was unplugged", details=f"{record.url} is on none that is there",
        resolution=f"plug it in again and leave it until the restart; media.wait is {settings.wait:.0f} s", retryable=False,
    )  # fmt: skip

"""The scrubber: reads a slot back for the daemon, past the cache, and tells the digest. It writes nothing.

A process of its own, with the walls of the installer, because hashing needs threads and memory that an idle daemon has no
use for, and because a storage that hangs takes only this process along.
"""

from __future__ import annotations

import os
import socket
import stat
import sys
import time

from agent.errors import explain
from agent.installer.confine import confine, share_one_heap
from agent.wire import Channel, Frame, WireError
from slots.device import capacity, resolve
from slots.errors import SlotError
from slots.read_back import read_back
from slots.usage import Identity, in_use

_REPORT_EVERY = 0.25  # seconds


def main(arguments: list[str]) -> int:
    """Answers the daemon until it hangs up; returns the exit status."""
    if arguments or not stat.S_ISSOCK(os.fstat(0).st_mode):
        sys.stderr.write("the scrubber is started by the daemon, with a socket as standard input\n")
        return 2
    confine()
    share_one_heap()
    channel = Channel(socket.socket(fileno=os.dup(0)), "daemon")
    try:
        while (frame := channel.recv()) is not None:
            try:
                channel.send({"op": "scrubbed", "sha256": _scrubbed(channel, frame)})
            except WireError:
                raise
            except Exception as error:  # noqa: BLE001 - the boundary of the process: the daemon must hear of it
                channel.send({"op": "error", "error": explain(error)})
    except WireError:
        return 1  # the daemon is gone: there is nobody to tell
    return 0


def _scrubbed(channel: Channel, frame: Frame) -> str:
    if frame.op != "scrub":
        raise WireError("ipc.protocol", "the daemon asked for something unknown", details=frame.op[:60])
    size, path = frame.number("size"), resolve(frame.text("device"))
    identity = Identity.at(path)
    user = in_use(identity) if identity is not None else ""
    if user:  # what somebody may be writing to has no digest
        raise SlotError(
            "slot.mounted", "the slot is in use", details=f"{path}: {user}",
            resolution="unmount it; nothing may mount the slots that are not running",
        )  # fmt: skip
    capacity(path)  # what cannot even be opened is not known to be damaged
    last = 0.0

    def report(done: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _REPORT_EVERY:
            last = time.monotonic()
            channel.send({"op": "progress", "bytes": done, "of": size})

    return read_back(path, size, report)

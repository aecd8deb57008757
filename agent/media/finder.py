"""The finder: mounts a medium read-only where nobody sees it, and opens what is on it for the installer.

A process of its own with the walls of the installer: a medium that hangs, or a file system made to harm the kernel's
driver, meets neither the daemon nor the network. The mount has no place in the tree (``slots/mounts.py``); it is gone as
soon as this process and everybody who has opened a file on it are, whatever becomes of them and of the medium.

From the daemon comes ``look`` with a device, then ``open`` with a path that was found. Back go ``looked`` with the files,
``opened`` with a descriptor, or ``error``.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import sys
from contextlib import ExitStack

from agent.errors import EnvironmentFault, OtaError, PolicyError, explain
from agent.hangup import watch
from agent.installer.confine import confine
from agent.media.filesystems import HEAD, kind_of, options_for
from agent.media.search import open_bundle, search
from agent.wire import Channel, Frame, WireError
from slots.errors import SlotError
from slots.mounts import mounted

_GONE = (errno.ENOENT, errno.ENXIO, errno.ENODEV, errno.ENOMEDIUM)


def main(arguments: list[str]) -> int:
    """Answers the daemon until it hangs up; returns the exit status."""
    if arguments or not stat.S_ISSOCK(os.fstat(0).st_mode):
        sys.stderr.write("the finder is started by the daemon, with a socket as standard input\n")
        return 2
    confine()
    watch(0)
    channel = Channel(socket.socket(fileno=os.dup(0)), "daemon")
    with ExitStack() as mount:
        top = -1
        try:
            while (frame := channel.recv()) is not None:
                try:
                    if frame.op == "look" and top < 0:
                        top, found = _look(frame, mount)
                        channel.send(found)
                    elif frame.op == "open" and top >= 0:
                        _open(channel, top, frame.text("path"))
                    else:
                        raise WireError("ipc.protocol", "the daemon asked for something unknown", details=frame.op[:60])
                except WireError:
                    raise
                except Exception as error:  # noqa: BLE001 - the boundary of the process: the daemon must hear of it
                    channel.send({"op": "error", "error": explain(error)})
        except WireError:
            return 1  # the daemon is gone: there is nobody to tell
    return 0


def _look(frame: Frame, mount: ExitStack) -> tuple[int, dict[str, object]]:
    device, allowed = frame.text("device"), frame.header.get("filesystems")
    kind = _kind(device)
    if not isinstance(allowed, list) or kind not in allowed:
        raise PolicyError(
            "media.filesystem", "the medium has no file system that is looked into here",
            details=f"{device}: {kind or 'none that is known'}",
            resolution="format it with one of media.filesystems, or add the one it has",
        )  # fmt: skip
    try:
        top = mount.enter_context(mounted(device, kind, options=options_for(kind), readonly=True))
    except SlotError as error:
        raise _not_mounted(error) from error
    try:
        found = search(top, frame.text("pattern"), frame.number("depth"))
    except OSError as error:
        raise unreadable(f"{device}: {error}") from error
    files = [{"path": each.path, "size": each.size, "mtime": each.mtime} for each in found.bundles]
    return top, {"op": "looked", "files": files, "complete": found.complete}


def _open(channel: Channel, top: int, path: str) -> None:
    try:
        fd = open_bundle(top, path)
    except OSError as error:
        raise unreadable(f"{path}: {error.strerror or 'it is not there'}") from error
    try:
        channel.send({"op": "opened"}, fds=(fd,))
    finally:
        os.close(fd)


def _kind(device: str) -> str:
    try:
        fd = os.open(device, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno in _GONE:
            raise EnvironmentFault("media.unplugged", "the medium is not there", details=str(error)) from error
        raise unreadable(str(error)) from error
    try:
        if not stat.S_ISBLK(os.fstat(fd).st_mode):
            raise unreadable(f"{device} is no block device")
        head = b""
        while len(head) < HEAD and (piece := os.pread(fd, HEAD - len(head), len(head))):
            head += piece
        return kind_of(head)
    except OSError as error:
        raise unreadable(f"{device}: {error.strerror}") from error
    finally:
        os.close(fd)


def unreadable(details: str) -> EnvironmentFault:
    """The medium fails, or what was found is gone."""
    return EnvironmentFault(
        "media.unreadable", "the medium cannot be read", details=details,
        resolution="plug it in again, or copy the bundle to another one",
    )  # fmt: skip


def _not_mounted(error: SlotError) -> OtaError:
    if error.code == "slot.mount-forbidden":
        return PolicyError(
            "media.mount-forbidden", "file systems cannot be mounted here", details=error.details,
            resolution="run the agent as root; under systemd, enable ota-agent-find.socket (docs/offline.md)",
        )  # fmt: skip
    return EnvironmentFault(
        "media.mount-failed", "the medium cannot be mounted", details=error.details, retryable=error.retryable,
        resolution="check its file system; nothing else may have it mounted for writing, and the kernel needs a driver",
    )  # fmt: skip

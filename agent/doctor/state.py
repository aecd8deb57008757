"""Does what the agent remembers outlast restarts and updates, and is there room for it?"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from agent.daemon.record import from_json as read_record
from agent.daemon.slot_status import from_json as read_slots
from agent.doctor.finding import Finding, error, note, ok, warning
from agent.doctor.mounts import mount_of
from agent.doctor.subject import Subject
from agent.errors import OtaError
from agent.hawkbit.outbox_form import from_json as read_outbox
from slots.device import capacity, resolve
from slots.errors import SlotError
from slots.usage import Identity, relatives

_VOLATILE = ("tmpfs", "ramfs", "rootfs")
_DOCUMENTS = {
    "record": read_record,
    "slots": read_slots,
    "outbox": read_outbox,
    "facts": None,
    "ending": None,
    "attributes": None,
    "answers": None,
    "installed": None,
    "media": None,
    "policy": None,
    "consent": None,
    "spent": None,
    "auto_confirm": None,
    "trial": None,
    "unjudged": None,
}
_LITTLE, _ENOUGH = (
    1 << 20,
    16 << 20,
)  # bytes free; the second is what the agent leaves to others, see installer/spool.py
_INODES = 16


def directory(subject: Subject) -> Iterator[Finding]:
    """The directory and the file system that it is on."""
    path = subject.config.system.state_dir
    if not path.exists():
        yield note("state.directory", f"{path} does not exist yet; the daemon makes it")
    else:
        mode = path.stat().st_mode
        if not stat.S_ISDIR(mode):
            yield error("state.directory", f"{path} is no directory")
            return
        if mode & 0o077:
            yield warning("state.directory", f"{path} has mode {stat.S_IMODE(mode):04o}")
        else:
            yield ok("state.directory", f"{path}, for its owner only")
    mount = mount_of(path, subject.places.proc)
    if mount.fstype in _VOLATILE:
        yield error("state.volatile", f"{path} is on {mount.fstype}, which is gone after a restart")
    elif mount.fstype == "overlay":
        yield note("state.volatile", f"{path} is on an overlay: it is not known whether its upper layer is stored")
    else:
        yield ok("state.volatile", f"{path} is on {mount.fstype}, mounted on {mount.point}")
    if mount.writable:
        yield ok("state.writable", f"{mount.point} is mounted for writing")
    else:
        yield error("state.writable", f"{mount.point} is mounted read-only")
    yield from _place(subject, path)


def documents(subject: Subject) -> Iterator[Finding]:
    """What is in the directory."""
    path = subject.config.system.state_dir
    problems = []
    for name, read in _DOCUMENTS.items():
        try:
            values = subject.document(name)
            if read is not None:
                read(values)
        except FileNotFoundError:
            continue
        except (OSError, ValueError, OtaError) as problem:
            problems.append(f"{name}.json: {problem}"[:200])
    problems += [f"{each.name} was put aside" for each in sorted(path.glob("*.broken"))]
    if problems:
        yield warning("state.documents", "; ".join(problems))
    else:
        yield ok("state.documents", f"everything in {path} can be read")


def space(subject: Subject) -> Iterator[Finding]:
    """Room for the documents, and for plain bundles."""
    path = subject.config.system.state_dir
    while not path.exists():
        path = path.parent
    found = os.statvfs(path)
    free = found.f_bavail * found.f_frsize
    text = f"{free} bytes are free beside {path}"
    if found.f_files and found.f_favail < _INODES:
        yield error("state.space", f"{found.f_favail} more files can be made beside {path}")
    elif free < _LITTLE:
        yield error("state.space", text)
    elif free < _ENOUGH:
        yield warning("state.space", text)
    else:
        yield ok("state.space", text)
    if "plain" in subject.config.bundle.formats and subject.config.server.url:
        room = max(0, free - _ENOUGH)
        largest = _largest_group(subject)
        if room < largest:
            yield note("state.spool", f"plain bundles may have up to {room} bytes, the slots have {largest}")
        else:
            yield ok("state.spool", f"there is room for a plain bundle of {room} bytes")


def _place(subject: Subject, path: Path) -> Iterator[Finding]:
    while not path.exists():
        path = path.parent
    status = path.stat()
    device = Identity(status.st_dev, 0, 0)
    for _, slot in subject.slots:
        try:
            here = Identity.at(resolve(slot.device))
        except SlotError:
            continue  # told elsewhere
        if here is not None and device in {here, *relatives(here, str(subject.places.sysfs))}:
            yield error("state.place", f"{path} is in slot {slot.name}")
            return
    yield ok("state.place", f"{path} is in none of the slots")


def _largest_group(subject: Subject) -> int:
    """Bytes of the slots of the largest group; those that are not there count nothing."""

    def size(device: str) -> int:
        try:
            return capacity(resolve(device))
        except SlotError:
            return 0

    return max((sum(size(slot.device) for slot in group.slots) for group in subject.groups), default=0)

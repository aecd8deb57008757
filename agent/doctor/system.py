"""What kernel and system must have: namespaces, file systems, programs, a right clock."""

from __future__ import annotations

import errno
import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

from agent.bus.calls import Bus, BusCallError
from agent.bus.logind import LOGIND
from agent.clock import built
from agent.daemon.restart import SYSTEMCTL
from agent.doctor.finding import Finding, error, note, ok, warning
from agent.doctor.subject import Subject
from agent.process import ENVIRONMENT
from slots.device import capacity, resolve
from slots.errors import SlotError

# What a type of slot needs to be written at all, and what only for archives: slots/handlers/flash.py, filesystem.py
_WRITERS = {
    "nand": ("flash_erase", "nandwrite", "nanddump"),
    "nor": ("flash_erase",),
    "jffs2": ("flash_erase",),
}
_FOR_ARCHIVES = {
    "ext4": ("mkfs.ext4", "e2fsck"),
    "vfat": ("mkfs.vfat", "fsck.vfat"),
    "ubifs": ("mkfs.ubifs",),
}
_MOUNTED = ("ext4", "vfat", "ubifs", "jffs2")  # types whose slots are mounted for hooks and archives


def kernel(subject: Subject) -> Iterator[Finding]:
    """What only the kernel can do."""
    yield from _direct(subject)
    hooks = subject.config.bundle.allow_hooks
    spaces = ("net", "pid", "mnt") if hooks else ("net",)
    missing = [name for name in spaces if not (subject.places.proc / "self/ns" / name).exists()]
    if missing:
        level = error if hooks else warning
        yield level("kernel.namespaces", f"the kernel has no namespaces for {', '.join(missing)}")
    else:
        yield ok("kernel.namespaces", f"the kernel has namespaces for {', '.join(spaces)}")
    for kind in sorted({slot.type for _, slot in subject.slots} & set(_MOUNTED)):
        if knows_filesystem(subject, kind):
            yield ok("kernel.filesystems", f"the kernel knows {kind}")
        elif hooks:
            yield warning("kernel.filesystems", f"the kernel does not know {kind}, which hooks may need")
        else:
            yield note("kernel.filesystems", f"the kernel does not know {kind}, which only archives need")


def programs(subject: Subject) -> Iterator[Finding]:
    """What is run as a program."""
    yield _restart(subject)
    wanted = [argv[0] for argv in subject.config.health.commands]
    if subject.config.health.units:
        wanted.append("systemctl")
    lacking = [name for name in dict.fromkeys(wanted) if not _there(name)]
    if lacking:
        yield error("program.health", f"there is no program {', '.join(lacking)}")
    else:
        yield ok("program.health", f"all {len(set(wanted))} exist")
    for kind in sorted({slot.type for _, slot in subject.slots}):
        for table, level in ((_WRITERS, error), (_FOR_ARCHIVES, note)):
            absent = [name for name in table.get(kind, ()) if not _there(name)]
            if absent:
                yield level("program.slots", f"slots of type {kind} need {', '.join(absent)}, which is not installed")


def _restart(subject: Subject) -> Finding:
    system = subject.config.system
    command = system.reboot_command[0] if system.reboot_command else ""
    if command:
        found = ok if _there(command) else error
        return found("program.reboot", f"{command} exists" if found is ok else f"there is no program {command}")
    try:
        answer = Bus(system.bus).call(*LOGIND, "CanReboot")[0]
    except BusCallError as problem:
        if _there(SYSTEMCTL[0]):
            return warning("program.reboot", f"logind is not reached, so that nobody is warned of a restart: {problem}")
        return error("program.reboot", f"there is neither logind nor {SYSTEMCTL[0]}")
    if answer == "yes":
        return ok("program.reboot", "logind restarts the device")
    return error("program.reboot", f"logind does not restart the device: {answer}")


def clock(subject: Subject) -> Iterator[Finding]:
    """Is the time right, as far as can be told without a network?"""
    now = subject.places.clock.wall()
    if subject.places.clock.synchronised():
        yield ok("clock.synchronised", "a time service keeps the clock")
    else:
        yield note("clock.synchronised", "no time service has set the clock")
    floors = {"the build of the running system": built(subject.config.system.clock_epoch)}
    try:
        signed = subject.document("facts").get("signed_at")
        floors["the signing of the newest confirmed bundle"] = signed if isinstance(signed, int) else 0
    except (OSError, ValueError):
        pass  # told elsewhere
    late = [f"{int(floor - now)} s behind {what}" for what, floor in floors.items() if now < floor]
    if late:
        yield warning("clock.past", f"the clock is {' and '.join(late)}")
    else:
        yield ok("clock.past", "the clock is not behind what is known to have passed")


def _direct(subject: Subject) -> Iterator[Finding]:
    without = []
    for _, slot in subject.slots:
        try:
            path = resolve(slot.device)
            capacity(path)
            os.close(os.open(path, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC))
        except SlotError:
            continue  # told elsewhere
        except OSError as problem:
            if problem.errno == errno.EINVAL:  # open(2): the file system does not support it
                without.append(slot.name)
    if without:
        yield note("kernel.direct-io", f"{', '.join(without)} cannot be opened with O_DIRECT")
    else:
        yield ok("kernel.direct-io", "every slot can be opened with O_DIRECT")


def knows_filesystem(subject: Subject, kind: str) -> bool:
    """Whether a file system is built in, loaded, or can be loaded."""
    try:
        known = (subject.places.proc / "filesystems").read_text("ascii", "replace").split()
    except OSError:
        known = []
    return kind in known or any(_is_module(subject.places.modules / platform.release() / name, kind) for name in _LISTS)


_LISTS = ("modules.dep", "modules.builtin")  # modprobe(8): paths of modules, one to a line


def _is_module(table: Path, name: str) -> bool:
    try:
        lines = table.read_text("utf-8", "replace").splitlines()
    except OSError:
        return False
    return any(line.partition(":")[0].rpartition("/")[2].partition(".")[0] == name for line in lines)


def _there(program: str) -> bool:
    return shutil.which(program, path=ENVIRONMENT["PATH"]) is not None

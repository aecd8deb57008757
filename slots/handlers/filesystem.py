"""An archive, or nothing at all, in a file system that is made for it.

1. mkfs, as RAUC calls it.
2. The archive is unpacked into the file system, which is mounted where nobody sees it.
3. It is unmounted, checked by its own fsck, and mounted again, read-only.
4. Every file is read and compared with what the archive said.

An interruption starts over: what was unpacked before a power cut is not known to be there.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from slots import mounts, programs
from slots.claim import Claim, claimed
from slots.device import capacity, examine, require_room
from slots.errors import SlotError
from slots.handlers.port import Content, Handler, Watch, Written
from slots.model import Slot

_TIMEOUT = 1800.0  # seconds for mkfs and fsck
_HEADERS = 64 * 1024 * 1024  # bytes of an archive that are no content of files, for small slots
_VFAT_FORBIDDEN = str.maketrans(dict.fromkeys('*?.,;:/\\|+=<>[]"', "_"))  # mkfs.fat(8), -n


@dataclass(frozen=True, slots=True)
class FileSystem:
    """How a file system is made and looked at.

    Attributes:
        kind: what the kernel calls it.
        make: the program that makes it, and its arguments up to those for the slot.
        label: the option for a label; empty when it has none.
        longest: characters of a label; a longer one is cut (``cut``) or left out.
        check: the program that finds mistakes without changing anything; the device comes last.
        cut: labels are made fit, as mkfs.vfat wants them.
        plain: holds nothing but files and directories, and neither owners nor modes.
    """

    kind: str
    make: tuple[str, ...]
    label: str = ""
    longest: int = 0
    check: tuple[str, ...] = ()
    cut: bool = False
    plain: bool = False

    def arguments(self, slot: Slot, path: str) -> tuple[str, ...]:
        """The whole command that makes it. Source: ``*_format_slot`` in RAUC's ``src/update_handler.c``."""
        name = slot.name[: self.longest].upper().translate(_VFAT_FORBIDDEN) if self.cut else slot.name
        label = (self.label, name) if self.label and len(name) <= self.longest else ()
        inode = ("-I256",) if self.kind == "ext4" else ()
        return (*self.make, *label, *inode, *slot.extra_mkfs_opts, path)


FILE_SYSTEMS: Mapping[str, FileSystem] = {
    "ext4": FileSystem("ext4", ("mkfs.ext4", "-F"), "-L", 16, ("e2fsck", "-f", "-n")),
    "vfat": FileSystem("vfat", ("mkfs.vfat",), "-n", 11, ("fsck.vfat", "-n"), cut=True, plain=True),
}


class _Made:
    resumable = False

    def __init__(self, system: FileSystem) -> None:
        self._system = system

    def preflight(self, slot: Slot, kind: str, size: int) -> None:
        path, status = examine(slot, booted=())
        if not stat.S_ISBLK(status.st_mode):
            raise SlotError(
                "slot.not-storage", "a file system can only be made on a block device", details=path,
                resolution="give the slot a block device, or deploy an image of the whole file system",
            )  # fmt: skip
        require_room(slot, size, capacity(path))
        programs.require(self._system.make[0], self._system.check[0])
        if kind == "tar":
            mounts.require_support(self._system.kind, slot.extra_mount_opts)

    def install(self, slot: Slot, content: Content, *, booted: Sequence[str], start: int, watch: Watch) -> Written:
        if start:
            raise ValueError("an archive cannot be unpacked from its middle on")
        self.preflight(slot, content.kind, content.size)
        with claimed(slot, booted=booted, size=content.size) as claim:
            programs.run(*self._system.arguments(slot, claim.path), timeout=_TIMEOUT, keep=(claim.fd,))
            if content.kind == "emptyfs":
                self._check(claim)
                return Written("", 0, 0, 0.0)
            return self._fill(claim, slot, content, watch)

    def _fill(self, claim: Claim, slot: Slot, content: Content, watch: Watch) -> Written:
        # What reads archives is loaded only now: a preflight needs none of it.
        from slots.archive.compare import compare
        from slots.archive.decode import invalid
        from slots.archive.policy import Policy
        from slots.archive.stream import Stream
        from slots.archive.unpack import unpack

        system = self._system
        policy = Policy(claim.capacity, allow_devices=slot.allow_devices, plain=system.plain)
        stream = Stream(content.pieces(0), 2 * claim.capacity + _HEADERS, watch.wrote)
        with mounts.mounted(claim.path, system.kind, options=slot.extra_mount_opts) as top:
            listing, digest = unpack(stream, top, policy)
        if digest != content.sha256:
            raise invalid(f"its SHA-256 is {digest[:16]}..., the manifest says {content.sha256[:16]}...")
        since = time.monotonic()
        self._check(claim)
        with mounts.mounted(claim.path, system.kind, options=slot.extra_mount_opts, readonly=True) as top:
            compare(
                listing, top, plain=system.plain,
                progress=lambda done: watch.checked(content.size * done // max(1, listing.size)),
            )  # fmt: skip
        return Written(digest, listing.size, 0, time.monotonic() - since)

    def _check(self, claim: Claim) -> None:
        """From the medium: nothing of it may be left in the cache."""
        claim.forget_cached()
        programs.run(*self._system.check, claim.path, timeout=_TIMEOUT, keep=(claim.fd,))
        claim.forget_cached()


def handler(slot_type: str) -> Handler:
    """The handler for slots of a type of ``FILE_SYSTEMS``."""
    return _Made(FILE_SYSTEMS[slot_type])

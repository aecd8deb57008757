"""An archive, or nothing at all, in a file system that is made for it.

1. mkfs, as RAUC calls it.
2. The archive is unpacked into the file system, which is mounted where nobody sees it.
3. It is unmounted, checked by its own fsck, and mounted again, read-only.
4. Every file is read and compared with what the archive said.

An interruption starts over: what was unpacked before a power cut is not known to be there.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from slots import mounts, programs
from slots.device import resolve
from slots.handlers.places import BlockDevice, Flash, Place, Site
from slots.handlers.port import Content, Handler, Watch, Written
from slots.model import BLOCK_TYPES, Slot

_TIMEOUT = 1800.0  # seconds for mkfs and fsck
_HEADERS = 64 * 1024 * 1024  # bytes of an archive that are no content of files, for small slots
_VFAT_FORBIDDEN = str.maketrans(dict.fromkeys('*?.,;:/\\|+=<>[]"', "_"))  # mkfs.fat(8), -n


@dataclass(frozen=True, slots=True)
class FileSystem:
    """How a file system is made and looked at.

    Attributes:
        kind: what the kernel calls it.
        make: the program that makes it, and its arguments up to those for the slot.
        after: arguments behind the device.
        dry: the option that makes the program only say what it would do.
        label: the option for a label; empty when it has none.
        longest: characters of a label; a longer one is cut (``cut``) or left out.
        check: the program that finds mistakes without changing anything; the device comes last. Flash file systems have
            none: mounting them is the check.
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
    after: tuple[str, ...] = ()
    dry: str = ""

    def arguments(self, slot: Slot, path: str) -> tuple[str, ...]:
        """The whole command that makes it. Source: ``*_format_slot`` in RAUC's ``src/update_handler.c``."""
        name = slot.name[: self.longest].upper().translate(_VFAT_FORBIDDEN) if self.cut else slot.name
        label = (self.label, name) if self.label and len(name) <= self.longest else ()
        return (*self.make, *label, *slot.extra_mkfs_opts, path, *self.after)


FILE_SYSTEMS: Mapping[str, FileSystem] = {
    "ext4": FileSystem("ext4", ("mkfs.ext4", "-F", "-I256"), "-L", 16, ("e2fsck", "-f", "-n"), dry="-n"),
    "vfat": FileSystem("vfat", ("mkfs.vfat",), "-n", 11, ("fsck.vfat", "-n"), cut=True, plain=True),
    "ubifs": FileSystem("ubifs", ("mkfs.ubifs", "-y")),
    "jffs2": FileSystem("jffs2", ("flash_erase", "--quiet"), after=("0", "0")),  # an erased memory is an empty one
}


class Made:
    """A handler that makes the file system, and fills it from an archive unless it shall be empty.

    Args:
        system: what is made.
        place: where.
    """

    resumable = False

    def __init__(self, system: FileSystem, place: Place) -> None:
        self._system, self._place = system, place

    def preflight(self, slot: Slot, kind: str, size: int) -> None:
        """See Handler."""
        self._place.preflight(slot, size)
        self._require(slot, kind)
        if self._system.dry and slot.extra_mkfs_opts:
            name, *arguments = self._system.arguments(slot, resolve(slot.device))
            programs.run(name, self._system.dry, *arguments, timeout=_TIMEOUT, retryable=False)

    def install(self, slot: Slot, content: Content, *, booted: Sequence[str], start: int, watch: Watch) -> Written:
        """See Handler.

        Raises:
            SlotError: also ``slot.archive-refused``, ``slot.archive-invalid``, ``slot.archive-decoder``, ``slot.full``,
                ``slot.program-failed``, ``slot.program-timeout``, ``slot.mount-failed``, ``slot.write-failed``,
                ``slot.read-back``, ``slot.read-failed``.
        """
        if start:
            raise ValueError("an archive cannot be unpacked from its middle on")
        self._require(slot, content.kind)
        with self._place.kept(slot, booted=booted, size=content.size) as site:
            programs.run(*self._system.arguments(slot, site.path), timeout=_TIMEOUT, keep=site.keep)
            if content.kind == "emptyfs":
                self._check(site)
                return Written("", 0, 0, 0.0)
            return self._fill(site, slot, content, watch)

    def _require(self, slot: Slot, kind: str) -> None:
        programs.require(self._system.make[0], *self._system.check[:1])
        if kind == "tar":
            mounts.require_support(self._system.kind, slot.extra_mount_opts)

    def _fill(self, site: Site, slot: Slot, content: Content, watch: Watch) -> Written:
        # What reads archives is loaded only now: a preflight needs none of it.
        from slots.archive.compare import compare
        from slots.archive.decode import invalid
        from slots.archive.policy import Policy
        from slots.archive.stream import Stream
        from slots.archive.unpack import unpack

        system = self._system
        policy = Policy(site.room, allow_devices=slot.allow_devices, plain=system.plain)
        stream = Stream(content.pieces(0), 2 * site.room + _HEADERS, watch.wrote)
        with mounts.mounted(site.source, system.kind, options=slot.extra_mount_opts) as top:
            listing, digest = unpack(stream, top, policy)
        if digest != content.sha256:
            raise invalid(f"its SHA-256 is {digest[:16]}..., the manifest says {content.sha256[:16]}...")
        since = time.monotonic()
        self._check(site)
        with mounts.mounted(site.source, system.kind, options=slot.extra_mount_opts, readonly=True) as top:
            compare(
                listing, top, plain=system.plain,
                progress=lambda done: watch.checked(content.size * done // max(1, listing.size)),
            )  # fmt: skip
        return Written(digest, listing.size, 0, time.monotonic() - since)

    def _check(self, site: Site) -> None:
        """From the medium: nothing of it may be left in the cache."""
        site.forget_cached()
        if self._system.check:
            programs.run(*self._system.check, site.path, timeout=_TIMEOUT, keep=site.keep)
        site.forget_cached()


def handler(slot_type: str) -> Handler:
    """The handler for slots of a type of ``FILE_SYSTEMS``."""
    return Made(FILE_SYSTEMS[slot_type], BlockDevice() if slot_type in BLOCK_TYPES else Flash())

"""Whatever differs on the medium from what the archive said is found, and named."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from support.handling import MIB, archive, entry

from slots.archive.compare import compare
from slots.archive.listing import Listing
from slots.archive.policy import Policy
from slots.archive.stream import Stream
from slots.archive.unpack import unpack
from slots.errors import SlotError

pytestmark = pytest.mark.root
ARCHIVE = archive(
    entry(".", tarfile.DIRTYPE, mode=0o755),
    (entry("etc/passwd", pax_headers={"SCHILY.xattr.user.note": "x"}), b"root"),
    (entry("etc/other"), b"root"),
    entry("etc/hard", tarfile.LNKTYPE, linkname="etc/other"),
    entry("link", tarfile.SYMTYPE, linkname="etc/passwd"),
    entry("pipe", tarfile.FIFOTYPE),
    entry("null", tarfile.CHRTYPE, devmajor=1, devminor=3),
    entry("empty", tarfile.DIRTYPE),
)


def rewrite(path: Path, data: bytes) -> None:
    """The content alone: no time and no attribute tells."""
    status = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def replace(path: Path, make: Callable[[Path], None]) -> None:
    path.unlink()
    make(path)
    os.utime(path, (1_700_000_000, 1_700_000_000), follow_symlinks=False)
    os.utime(path.parent, (1_700_000_000, 1_700_000_000))


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "one byte": (lambda top: rewrite(top / "etc/passwd", b"toor"), "another content"),
    "a byte more": (lambda top: rewrite(top / "etc/other", b"root\n"), "bytes, not 4"),
    "a file without content": (lambda top: rewrite(top / "etc/other", b""), "0 bytes, not 4"),
    "a mode": (lambda top: (top / "etc/passwd").chmod(0o4644), "4644"),
    "an owner": (lambda top: os.chown(top / "etc/other", 5, 0), "5:0"),
    "a group of a directory": (lambda top: os.chown(top / "empty", 0, 6), "0:6"),
    "a time": (lambda top: os.utime(top / "etc/other", (1, 1)), " 1"),
    "an attribute": (lambda top: os.setxattr(top / "etc/passwd", "user.note", b"y"), "user.note"),
    "a lost attribute": (lambda top: os.removexattr(top / "etc/passwd", "user.note"), "user.note"),
    "a link that leads elsewhere": (
        lambda top: replace(top / "link", lambda path: path.symlink_to("etc/other")),
        "leads elsewhere",
    ),
    "a link that became a file": (lambda top: replace(top / "link", Path.touch), "not a symlink"),
    "a hard link that became a copy": (
        lambda top: replace(top / "etc/hard", lambda path: path.write_bytes(b"root") and None),
        "not the same file as",
    ),
    "a pipe that became a file": (lambda top: replace(top / "pipe", Path.touch), "not a fifo"),
    "another device": (
        lambda top: replace(top / "null", lambda path: os.mknod(path, 0o20644, os.makedev(1, 5))),
        "another device",
    ),
    "something more": (lambda top: (top / "more").touch(), "more: it is not in the archive"),
    "something more below": (lambda top: (top / "empty/more").mkdir(), "empty"),
    "something missing": (lambda top: (top / "empty").rmdir(), ""),
}


@pytest.fixture
def unpacked(tmp_path: Path) -> tuple[Path, Listing]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        listing, _ = unpack(Stream([ARCHIVE], MIB, lambda _: None), fd, Policy(MIB, allow_devices=True))
    finally:
        os.close(fd)
    return tmp_path, listing


def look(top: Path, listing: Listing) -> None:
    fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    try:
        compare(listing, fd, plain=False, progress=lambda _: None)
    finally:
        os.close(fd)


def test_what_was_unpacked_is_what_the_archive_said(unpacked: tuple[Path, Listing]) -> None:
    look(*unpacked)
    (unpacked[0] / "lost+found").mkdir()  # mkfs makes it
    os.utime(unpacked[0], (1_700_000_000, 1_700_000_000))
    look(*unpacked)


@pytest.mark.req("C11")
@pytest.mark.parametrize("change", CHANGES)
def test_a_difference_is_found(change: str, unpacked: tuple[Path, Listing]) -> None:
    top, listing = unpacked
    apply, words = CHANGES[change]
    apply(top)
    os.utime(top, (1_700_000_000, 1_700_000_000))
    with pytest.raises(SlotError) as caught:
        look(top, listing)
    assert (caught.value.code, caught.value.retryable) == ("slot.read-back", True)
    assert words in caught.value.details

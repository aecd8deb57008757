"""What an archive may hold, and what refuses it; no member of a refused archive lands outside of where it is unpacked."""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.handling import MIB, archive, entry

from slots.archive import policy as rules
from slots.archive.listing import Listing
from slots.archive.policy import Policy
from slots.archive.stream import Stream
from slots.archive.unpack import unpack
from slots.errors import SlotError

pytestmark = pytest.mark.root
Member = tarfile.TarInfo | tuple[tarfile.TarInfo, bytes]
LINK, HARD, DIRECTORY = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE


@pytest.fixture
def top(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "outside").write_text("untouched")
    (tmp_path / "slot").mkdir()
    yield tmp_path / "slot"
    assert sorted(os.listdir(tmp_path)) == ["outside", "slot"]
    assert (tmp_path / "outside").read_text() == "untouched"


def unpacked(data: bytes, top: Path, *, room: int = MIB, limit: int = 4 * MIB, **more: bool) -> Listing:
    fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    try:
        listing, _ = unpack(Stream([data], limit, lambda _: None), fd, Policy(room, **more))
    finally:
        os.close(fd)
    return listing


def refusal(data: bytes, top: Path, **more: int) -> SlotError:
    before = sorted(os.listdir("/proc/self/fd"))
    with pytest.raises(SlotError) as caught:
        unpacked(data, top, **more)  # type: ignore[arg-type]
    assert len(os.listdir("/proc/self/fd")) == len(before), "descriptors are left open"
    return caught.value


HOSTILE: dict[str, tuple[Member, ...]] = {
    "an absolute path": (entry("/outside"),),
    "a path that leads out": (entry("../outside"),),
    "a path that leads out later": (entry("a", DIRECTORY), entry("a/../../outside")),
    "a path in a name with a slash too many": (entry("a//../..//outside"),),
    "a link to the outside": (entry("a", LINK, linkname="../outside"),),
    "a link to the outside from below": (entry("a/b/c", LINK, linkname="../../../outside"),),
    "a link to nothing": (entry("a", LINK, linkname=""),),
    "a file through a link": (entry("a", LINK, linkname="/tmp"), (entry("a/outside"), b"x")),
    "a directory over a link": (entry("a", LINK, linkname="/tmp"), entry("a", DIRECTORY)),
    "a file over a link": (entry("a", LINK, linkname="/tmp/outside"), (entry("a"), b"x")),
    "a file through a file": ((entry("a"), b""), (entry("a/b"), b"x")),
    "a hard link to the outside": (entry("a", HARD, linkname="../outside"),),
    "a hard link to an absolute path": (entry("a", HARD, linkname="/etc/passwd"),),
    "a hard link through a link": (entry("a", LINK, linkname="/etc"), entry("b", HARD, linkname="a/passwd")),
    "a hard link to a directory": (entry("a", DIRECTORY), entry("b", HARD, linkname="a")),
    "a hard link to a later member": (entry("b", HARD, linkname="a"), entry("a")),
    "a hard link to itself": (entry("b", HARD, linkname="b"),),
    "a file twice": (entry("a"), entry("./a")),
    "a device": (entry("null", tarfile.CHRTYPE, devmajor=1, devminor=3),),
    "a disk": (entry("disk", tarfile.BLKTYPE, devmajor=8, devminor=0),),
    "a file as the top": (entry("."),),
    "an unknown type": (entry("a", b"Z"),),
    "a volume label": (entry("a", b"V"),),
    "a name that is too long": (entry("n" * 256),),
    "a path that is too long": (entry("p/" * 2001 + "a"),),
    "an owner that cannot be": (entry("a", uid=2**32 - 1),),
    "a time after all time": (entry("a", mtime=2**34),),
    "a time that is none": (entry("a", pax_headers={"mtime": "1e9"}),),
    "a time without end": (entry("a", pax_headers={"mtime": "inf"}),),
    "a time that is no number": (entry("a", pax_headers={"mtime": "nan"}),),
    "an attribute with a zero in its name": (entry("a", pax_headers={"SCHILY.xattr.user.a\0b": "x"}),),
    "an attribute without a name": (entry("a", pax_headers={"SCHILY.xattr.": "x"}),),
    "an access control list": (entry("a", pax_headers={"SCHILY.acl.access": "user::rw-"}),),
    "a large attribute": (entry("a", pax_headers={"SCHILY.xattr.user.a": "x" * 65537}),),
    "files larger than the slot": ((entry("a"), bytes(MIB)), (entry("b"), b"x")),
}


@pytest.mark.req("T03", "T09")
@pytest.mark.parametrize("members", HOSTILE.values(), ids=HOSTILE)
def test_an_archive_is_refused_because_of(members: tuple[Member, ...], top: Path) -> None:
    error = refusal(archive(*members), top)
    assert (error.code, error.retryable) == ("slot.archive-refused", False)
    assert ":" in error.details


def test_a_sparse_file_that_ends_too_early_is_an_invalid_archive(top: Path) -> None:
    holes = {"GNU.sparse.size": "2000", "GNU.sparse.numblocks": "1", "GNU.sparse.map": "0,2000"}
    whole = archive((entry("a", pax_headers=holes), bytes(range(250)) * 8))
    assert unpacked(whole, top).size == 2000
    (top / "a").unlink()
    error = refusal(whole[: whole.index(bytes(range(250))) + 1000], top)
    assert (error.code, error.retryable) == ("slot.archive-invalid", False)


@pytest.mark.parametrize("number", [-1, 2**32])
def test_a_device_number_that_cannot_be_is_refused(number: int) -> None:
    info = entry("a", tarfile.CHRTYPE, devmajor=1, devminor=number)
    with pytest.raises(SlotError) as caught:
        Policy(MIB, allow_devices=True).judge(info)
    assert caught.value.code == "slot.archive-refused"


@pytest.mark.req("T09")
def test_too_many_members_are_refused(monkeypatch: pytest.MonkeyPatch, top: Path) -> None:
    monkeypatch.setattr(rules, "MAX_MEMBERS", 10)
    error = refusal(archive(*(entry(str(number)) for number in range(11))), top)
    assert error.code == "slot.archive-refused"


@pytest.mark.req("T09")
def test_a_small_archive_that_unpacks_to_too_much_is_refused(top: Path) -> None:
    """What does not count as content counts as well: here, a long name for each of many empty files."""
    data = archive(*(entry(f"{'n' * 200}{number}") for number in range(900)), mode="w:gz")
    assert len(data) < 64 * 1024
    error = refusal(data, top, limit=MIB)
    assert error.code == "slot.archive-refused"


@pytest.mark.req("T09")
def test_a_header_that_wants_much_memory_is_refused(top: Path) -> None:
    header = tarfile.TarInfo("@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 64 * MIB
    error = refusal(header.tobuf(tarfile.GNU_FORMAT) + bytes(2 * MIB), top)
    assert error.code == "slot.archive-invalid"


@pytest.mark.req("T09")
def test_headers_of_headers_without_end_are_refused(top: Path) -> None:
    header = tarfile.TarInfo("@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 2
    error = refusal((header.tobuf(tarfile.GNU_FORMAT) + b"a".ljust(512, b"\0")) * 3000, top)
    assert error.code == "slot.archive-invalid"


def test_absolute_links_are_made_and_never_followed(top: Path) -> None:
    unpacked(archive(entry("etc/mtab", LINK, linkname="../proc/self/mounts"), entry("a", LINK, linkname="/etc")), top)
    assert os.readlink(top / "a") == "/etc"
    assert os.readlink(top / "etc/mtab") == "../proc/self/mounts"


def test_device_nodes_are_made_where_that_is_allowed(top: Path) -> None:
    unpacked(archive(entry("null", tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666)), top, allow_devices=True)
    status = (top / "null").stat()
    assert stat.S_ISCHR(status.st_mode)
    assert (status.st_rdev, stat.S_IMODE(status.st_mode)) == (os.makedev(1, 3), 0o666)


@pytest.mark.parametrize(
    "member", [entry("a", LINK, linkname="b"), entry("a", HARD, linkname="b"), entry("a", tarfile.FIFOTYPE)]
)
def test_a_file_system_without_links_refuses_them_before_they_are_made(member: tarfile.TarInfo, top: Path) -> None:
    with pytest.raises(SlotError) as caught:
        unpacked(archive(entry("b"), member), top, plain=True)
    assert caught.value.code == "slot.archive-refused"


def test_a_directory_may_be_there_twice_and_the_last_one_counts(top: Path) -> None:
    unpacked(archive((entry("a/b"), b"x"), entry("a", DIRECTORY, mode=0o700), entry("a", DIRECTORY, mode=0o750)), top)
    assert stat.S_IMODE((top / "a").stat().st_mode) == 0o750


def test_a_directory_that_nobody_may_enter_is_filled_all_the_same(top: Path) -> None:
    unpacked(archive(entry("a", DIRECTORY, mode=0), (entry("a/b"), b"x")), top)
    assert stat.S_IMODE((top / "a").stat().st_mode) == 0
    assert (top / "a/b").read_bytes() == b"x"

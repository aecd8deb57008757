"""The whole table: each type of slot with each type of image. What is in it works on a real block device, with the field's
own programs looking at the outcome; the rest is refused by name before anything is touched. Flash has tests of its own.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.disks import loop, mounted, run
from support.filesystems import MARKER, make_images, marker_in, sized
from support.handling import MIB, Heard, archive, content_of, entry, install, slot_on

from slots import mounts
from slots.errors import SlotError
from slots.handlers.filesystem import FILE_SYSTEMS, Made
from slots.handlers.places import BlockDevice, Flash
from slots.handlers.preflight import preflight
from slots.handlers.table import KINDS, PAIRS, handler_for, taken_by
from slots.model import BLOCK_TYPES, TYPES

pytestmark = pytest.mark.root
SIZE = 24 * MIB
CASYNC = ("catar", "caidx", "raw-caibx", "ext4-caibx")
SUPPORTED = [(slot, kind) for slot, kind in PAIRS if slot in BLOCK_TYPES]
MISSING = [(slot, kind) for slot in TYPES for kind in (*KINDS, *CASYNC, "") if (slot, kind) not in PAIRS]


def kernel_has(kind: str) -> bool:
    try:
        mounts.require_support(kind)
    except SlotError:
        return False
    return True


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, bytes]:
    return make_images(tmp_path_factory.mktemp("images"))


@pytest.fixture
def device(tmp_path: Path) -> Iterator[str]:
    with loop(sized(tmp_path / "disk", SIZE)) as node:
        yield node


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A device that holds something already."""
    with loop(sized(tmp_path_factory.mktemp("used") / "disk", 2 * MIB)) as node:
        run("mkfs.ext4", "-q", "-F", node)
        yield node


@pytest.mark.req("S03", "C11")
@pytest.mark.parametrize(("slot_type", "kind"), SUPPORTED, ids=str)
def test_a_pair_of_the_table_works(
    slot_type: str, kind: str, device: str, images: Mapping[str, bytes], tmp_path: Path
) -> None:
    image, target, heard = images[kind], slot_on(device, slot_type), Heard()
    if kind == "tar" and not kernel_has(slot_type):
        with pytest.raises(SlotError) as caught:
            preflight(target, kind, len(image), name="rootfs.tar", booted=())
        assert caught.value.code == "slot.kernel-support"
        assert slot_type in caught.value.details
        return
    preflight(target, kind, len(image), name=f"rootfs.{kind}", booted=())
    outcome = install(target, content_of(image, kind), heard=heard)
    assert outcome.digest == ("" if kind == "emptyfs" else hashlib.sha256(image).hexdigest())
    if kind in ("tar", "emptyfs"):
        run("e2fsck", "-f", "-n", device)
        assert run("blkid", "-p", "-s", "LABEL", "-o", "value", device) == "rootfs.1"
    else:
        assert Path(device).read_bytes()[: len(image)] == image
    if kind not in ("raw", "emptyfs"):
        assert marker_in(device, slot_type if kind == "tar" else kind, tmp_path / "mnt") == MARKER
    if kind != "emptyfs":
        assert (heard.written[-1], heard.read[-1]) == (len(image), len(image))


@pytest.mark.req("S04")
@pytest.mark.parametrize(("slot_type", "kind"), MISSING, ids=lambda word: word or "unknown")
def test_a_pair_that_is_not_in_the_table_is_refused_by_name_and_nothing_is_touched(
    slot_type: str, kind: str, used: str
) -> None:
    before = Path(used).read_bytes()
    with pytest.raises(SlotError) as caught:
        preflight(slot_on(used, slot_type), kind, MIB, name=f"rootfs.{kind}", booted=())
    assert caught.value.code == "slot.image-type"
    assert f"{kind!r} for slot type {slot_type!r}" in caught.value.details
    assert ", ".join(taken_by(slot_type)) in caught.value.details
    assert Path(used).read_bytes() == before


def test_every_type_of_slot_takes_something() -> None:
    assert all(taken_by(slot_type) for slot_type in TYPES)
    assert {slot for slot, _ in PAIRS} == set(TYPES)


@pytest.mark.parametrize(("slot_type", "kind"), SUPPORTED, ids=str)
def test_a_preflight_touches_nothing(slot_type: str, kind: str, device: str) -> None:
    before = Path(device).read_bytes()
    with contextlib.suppress(SlotError):  # a kernel without FAT
        preflight(slot_on(device, slot_type), kind, MIB, name="rootfs", booted=())
    assert Path(device).read_bytes() == before


def test_an_ext4_image_grows_to_fill_its_slot_and_stays_clean(
    device: str, images: Mapping[str, bytes], tmp_path: Path
) -> None:
    assert len(images["ext4"]) < SIZE
    install(slot_on(device, "ext4", resize=True), content_of(images["ext4"], "ext4"))
    header = dict(line.split(":", 1) for line in run("dumpe2fs", "-h", device).splitlines() if ":" in line)
    assert int(header["Block count"]) * int(header["Block size"]) == SIZE
    assert header["Filesystem state"].strip() == "clean"
    assert marker_in(device, "ext4", tmp_path / "mnt") == MARKER


def test_an_ext4_image_grows_in_a_file_too(images: Mapping[str, bytes], tmp_path: Path) -> None:
    file = sized(tmp_path / "slot", SIZE)
    install(slot_on(file, "ext4", resize=True), content_of(images["ext4"], "ext4"))
    header = dict(line.split(":", 1) for line in run("dumpe2fs", "-h", file).splitlines() if ":" in line)
    assert int(header["Block count"]) * int(header["Block size"]) == SIZE


@pytest.mark.req("C11")
def test_what_is_no_ext4_file_system_cannot_grow(device: str, images: Mapping[str, bytes]) -> None:
    with pytest.raises(SlotError) as caught:
        install(slot_on(device, "ext4", resize=True), content_of(images["raw"], "raw"))
    assert caught.value.code == "slot.program-failed"
    assert "e2fsck" in caught.value.details


@pytest.mark.parametrize("kind", ["raw", "ext4", "squashfs"])
def test_an_image_that_the_slot_holds_is_not_written_again_if_that_is_said(
    kind: str, device: str, images: Mapping[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = images[kind]
    install(slot_on(device), content_of(image, kind))
    monkeypatch.setattr("os.pwrite", lambda *_: pytest.fail("it was written"))
    outcome = install(slot_on(device, install_same=False), content_of(image, kind))
    assert (outcome.written, outcome.skipped) == (0, len(image))
    assert outcome.digest == hashlib.sha256(image).hexdigest()


@pytest.mark.req("C11")
def test_an_image_of_which_one_bit_is_wrong_in_the_slot_is_written_again(
    device: str, images: Mapping[str, bytes]
) -> None:
    image = images["raw"]
    install(slot_on(device), content_of(image, "raw"))
    with Path(device).open("r+b", buffering=0) as node:
        node.seek(2 * MIB)
        node.write(bytes([image[2 * MIB] ^ 1]))
    outcome = install(slot_on(device, install_same=False), content_of(image, "raw"))
    assert outcome.written > 0
    assert Path(device).read_bytes()[: len(image)] == image


def test_options_for_making_and_mounting_the_file_system_are_used(device: str, images: Mapping[str, bytes]) -> None:
    more = {"extra_mkfs_opts": ("-b", "4096", "-O", "^has_journal"), "extra_mount_opts": "noatime,errors=remount-ro"}
    install(slot_on(device, "ext4", **more), content_of(images["tar"], "tar"))
    found = run("dumpe2fs", "-h", device)
    assert "has_journal" not in found
    assert "Block size:               4096" in found


def test_an_unknown_option_for_mounting_is_found_before_anything_is_touched(device: str) -> None:
    with pytest.raises(SlotError) as caught:
        preflight(slot_on(device, "ext4", extra_mount_opts="data=nothing"), "tar", 1, name="a.tar", booted=())
    assert caught.value.code == "slot.mount-failed"
    assert "data" in caught.value.details


def test_an_option_that_mkfs_does_not_take_is_found_before_anything_is_touched(device: str) -> None:
    run("mkfs.ext4", "-q", "-F", device)
    before = Path(device).read_bytes()
    preflight(slot_on(device, "ext4", extra_mkfs_opts=("-b", "4096")), "emptyfs", 0, name="", booted=())
    with pytest.raises(SlotError) as caught:
        preflight(slot_on(device, "ext4", extra_mkfs_opts=("-O", "nonsense")), "tar", 1, name="a.tar", booted=())
    assert (caught.value.code, caught.value.retryable) == ("slot.program-failed", False)
    assert "nonsense" in caught.value.details
    assert Path(device).read_bytes() == before


def test_a_label_is_made_fit_for_fat() -> None:
    slot = slot_on("/dev/x", "vfat", extra_mkfs_opts=("-F", "32"))
    assert FILE_SYSTEMS["vfat"].arguments(slot, "/dev/x") == ("mkfs.vfat", "-n", "ROOTFS_1", "-F", "32", "/dev/x")


def test_a_file_is_no_place_for_an_archive(tmp_path: Path) -> None:
    target = slot_on(sized(tmp_path / "slot", MIB), "ext4")
    with pytest.raises(SlotError) as caught:
        preflight(target, "tar", 1, name="a.tar", booted=())
    assert caught.value.code == "slot.not-storage"


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSYS])
def test_a_kernel_or_a_sandbox_that_does_not_let_us_mount_is_found_before(
    number: int, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ctypes

    def call(*_: object) -> int:
        ctypes.set_errno(number)
        return -1

    monkeypatch.setattr("slots.mounts._call", call)
    with pytest.raises(SlotError) as caught:
        preflight(slot_on(device, "ext4"), "tar", 1, name="a.tar", booted=())
    assert caught.value.code == {errno.EPERM: "slot.mount-forbidden", errno.ENOSYS: "slot.kernel-support"}[number]


@pytest.mark.parametrize(
    ("slot_type", "kind", "more", "missing"),
    [
        ("ext4", "tar", {}, "mkfs.ext4, e2fsck"),
        ("ext4", "emptyfs", {}, "mkfs.ext4, e2fsck"),
        ("ext4", "ext4", {"resize": True}, "e2fsck, resize2fs"),
        ("vfat", "tar", {}, "mkfs.vfat, fsck.vfat"),
    ],
)
def test_a_missing_program_is_named_before_anything_is_touched(
    slot_type: str, kind: str, more: dict[str, object], missing: str, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slots.programs.PATH", "/nonexistent")
    with pytest.raises(SlotError) as caught:
        preflight(slot_on(device, slot_type, **more), kind, 1, name="a.tar", booted=())
    assert caught.value.code == "slot.program-missing"
    assert caught.value.details == missing


def test_only_copies_can_go_on_where_they_stopped() -> None:
    assert {pair: handler_for(*pair).resumable for pair in SUPPORTED} == {
        pair: PAIRS[pair] == "copy" for pair in SUPPORTED
    }


def test_where_owners_and_modes_cannot_be_kept_names_contents_and_times_are(device: str, tmp_path: Path) -> None:
    """What FAT asks for, on a file system that every kernel here has."""
    system = replace(FILE_SYSTEMS["ext4"], plain=True)
    members = [entry("EFI", tarfile.DIRTYPE, uid=5, mode=0o700), (entry("EFI/boot.efi", uid=5, mode=0o4711), MARKER)]
    outcome = Made(system, BlockDevice()).install(
        slot_on(device, "ext4"), content_of(archive(*members), "tar"), booted=(), start=0, watch=Heard()
    )
    assert outcome.written == len(MARKER)
    with mounted(device, tmp_path / "mnt", "-o", "ro"):
        status = (tmp_path / "mnt/EFI/boot.efi").stat()
        assert (tmp_path / "mnt/EFI/boot.efi").read_bytes() == MARKER
    assert (status.st_uid, status.st_mode & 0o7000, status.st_mtime) == (0, 0, 1_700_000_000)
    with pytest.raises(SlotError) as caught:
        Made(system, BlockDevice()).install(
            slot_on(device, "ext4"), content_of(archive(entry("a", tarfile.SYMTYPE, linkname="b")), "tar"),
            booted=(), start=0, watch=Heard(),
        )  # fmt: skip
    assert caught.value.code == "slot.archive-refused"


@pytest.mark.parametrize(
    ("slot_type", "path", "command"),
    [
        ("ubifs", "/dev/ubi0_1", "mkfs.ubifs -y -x zstd /dev/ubi0_1"),
        ("jffs2", "/dev/mtd3", "flash_erase --quiet -x zstd /dev/mtd3 0 0"),
        ("ext4", "/dev/sda2", "mkfs.ext4 -F -I256 -L rootfs.1 -x zstd /dev/sda2"),
    ],
)
def test_a_file_system_is_made_as_rauc_makes_it(slot_type: str, path: str, command: str) -> None:
    slot = slot_on(path, slot_type, extra_mkfs_opts=("-x", "zstd"))
    assert " ".join(FILE_SYSTEMS[slot_type].arguments(slot, path)) == command


@pytest.mark.parametrize("slot_type", ["ubifs", "jffs2"])
def test_what_forbids_using_flash_is_told_by_the_handler_of_its_images(
    slot_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And an archive larger than the flash may fit: these file systems compress."""
    asked: list[tuple[str, str, int]] = []

    def handler(slot: str, kind: str) -> SimpleNamespace:
        return SimpleNamespace(preflight=lambda _, kind, size: asked.append((slot, kind, size)))

    monkeypatch.setattr("slots.handlers.places.handler_for", handler)
    Flash().preflight(slot_on("/dev/any", slot_type), 1 << 40)
    assert asked == [(slot_type, "raw", 0)]


def test_flash_is_the_running_one_by_whatever_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers: MTD_CHAR_MAJOR and MTD_BLOCK_MAJOR, linux/major.h; a memory has two of the former."""
    character, block = tmp_path / "mtd3", tmp_path / "mtdblock3"
    os.mknod(character, stat.S_IFCHR | 0o600, os.makedev(90, 6))
    os.mknod(block, stat.S_IFBLK | 0o600, os.makedev(31, 3))
    monkeypatch.setattr(Flash, "preflight", lambda *_: None)
    with pytest.raises(SlotError) as caught, Flash().kept(slot_on(character, "jffs2"), booted=[str(block)], size=0):
        pass
    assert caught.value.code == "slot.booted"

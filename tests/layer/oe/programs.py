"""The programs of the host that a build calls."""

from __future__ import annotations

import os
import shutil


def _words(text: str) -> list[str]:
    return text.split()


# By recipes, classes and rootfs code; some of it only in one of the releases.
CALLED = _words(
    """apt-cache apt-ftparchive apt-get blkid debugedit debugfs dpkg-deb dpkg-divert dpkg-query dpkg-split dpkg-statoverride
    dpkg-trigger dumpe2fs e2fsck e2image fakeroot fsck.ext4 grub-editenv grub-mkimage ldconfig mcopy mdir mformat
    mkdosfs mke2fs mkenvimage mkfs.ext4 mkfs.vfat mkimage mksquashfs mkswap mlabel mmd openssl parted pseudo quilt resize2fs
    sgdisk start-stop-daemon tune2fs unsquashfs update-alternatives which"""
)
# By BitBake itself, and by the tests.
_FURTHER = _words("chrpath cpio diffstat gawk rauc rpcgen qemu-system-aarch64 qemu-system-x86_64 softhsm2-util")
# The Debian packages of all of them.
_DEBIAN = _words(
    """apt-utils bzip2 chrpath cpio debugedit diffstat dosfstools dpkg-dev e2fsprogs fakeroot fdisk file gawk gdisk grub-common
    grub-efi-amd64-bin locales lz4 mtools ovmf parted patch pseudo python3-venv qemu-system-arm qemu-system-x86 quilt rauc
    rpcsvc-proto rpm softhsm2 squashfs-tools u-boot-qemu u-boot-tools wget xz-utils zstd"""
)


def require() -> None:
    """Looks whether all of them are there.

    Raises:
        LookupError: some are not; names them, and the packages.
    """
    path = f"{os.defpath}:/usr/local/bin:/sbin:/usr/sbin"
    lacking = [name for name in [*CALLED, *_FURTHER] if shutil.which(name, path=path) is None]
    if lacking:
        raise LookupError(f"not installed: {', '.join(lacking)}. Debian: apt-get install {' '.join(_DEBIAN)}")

"""Archives made by GNU tar unpack to what GNU tar itself unpacks them to, in every format and with every compressor."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
from pathlib import Path

import pytest
from support.disks import loop, mounted, run
from support.filesystems import sized
from support.handling import MIB, content_of, install, slot_on

pytestmark = pytest.mark.root
FORMATS = ("gnu", "pax", "ustar", "oldgnu", "v7")
COMPRESSORS = ("gzip", "bzip2", "xz", "zstd")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What root file systems are made of."""
    top = tmp_path_factory.mktemp("tree") / "top"
    for folder in ("etc", "usr/bin", "var/empty", "home/user"):
        (top / folder).mkdir(parents=True)
    (top / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\n")
    (top / "usr/bin/su").write_bytes(os.urandom(70_000))
    (top / "usr/bin/su").chmod(0o4755)
    (top / "home/user/letter").write_text("hello")
    os.chown(top / "home/user", 1000, 1001)
    os.chown(top / "home/user/letter", 1000, 1001)
    (top / "home/user").chmod(0o2770)
    (top / "var/empty").chmod(0o1555)
    os.link(top / "usr/bin/su", top / "usr/bin/sudo")
    (top / "usr/bin/sh").symlink_to("/usr/bin/su")
    (top / "etc/mtab").symlink_to("../proc/self/mounts")
    os.chown(top / "etc/mtab", 5, 6, follow_symlinks=False)
    os.mkfifo(top / "var/pipe", 0o640)
    (top / "etc/empty").touch()
    for name in ("usr/bin/su", "etc/passwd", "var/empty", "etc/mtab", "home/user"):
        os.utime(top / name, ns=(10**18, 1_234_567_890_123_456_789), follow_symlinks=False)
    return top


def snapshot(top: Path) -> dict[str, tuple[object, ...]]:
    """Everything that an archive may say, of everything that is there."""
    found: dict[str, tuple[object, ...]] = {}
    first: dict[int, str] = {}
    for path in [top, *sorted(top.rglob("*"))]:
        name = str(path.relative_to(top))
        status = path.lstat()
        if name == "lost+found":
            continue
        content: object = ""
        if path.is_symlink():
            content = os.readlink(path)
        elif path.is_file():
            content = (hashlib.sha256(path.read_bytes()).hexdigest(), first.setdefault(status.st_ino, name))
        elif stat.S_ISCHR(status.st_mode):
            content = status.st_rdev
        names = sorted(os.listxattr(path, follow_symlinks=False))
        values = [(key, os.getxattr(path, key, follow_symlinks=False)) for key in names]
        found[name] = (oct(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns, content, values)
    return found


def both(archive: Path, tmp_path: Path, *options: str, **more: object) -> tuple[dict[str, object], dict[str, object]]:
    """What GNU tar and we make of an archive, on file systems of the same kind."""
    seen: list[dict[str, object]] = []
    with loop(sized(tmp_path / "theirs", 16 * MIB)) as theirs, loop(sized(tmp_path / "ours", 16 * MIB)) as ours:
        run("mkfs.ext4", "-q", "-F", "-I256", theirs)
        with mounted(theirs, tmp_path / "mnt"):
            run("tar", "-xf", archive, "-C", tmp_path / "mnt", "--numeric-owner", *options)
            seen.append(dict(snapshot(tmp_path / "mnt")))
        install(slot_on(ours, "ext4", **more), content_of(archive.read_bytes(), "tar", name=archive.name))
        with mounted(ours, tmp_path / "mnt", "-o", "ro"):
            seen.append(dict(snapshot(tmp_path / "mnt")))
    return seen[0], seen[1]


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_gives_the_same_tree(form: str, tree: Path, tmp_path: Path) -> None:
    without = ["--exclude=./var/pipe"] if form == "v7" else []
    run("tar", "-cf", tmp_path / "a.tar", f"--format={form}", *without, "-C", tree, ".")
    theirs, ours = both(tmp_path / "a.tar", tmp_path)
    assert ours == theirs
    assert {name: entry[:3] for name, entry in ours.items()} == {
        name: entry[:3] for name, entry in snapshot(tree).items() if not without or name != "var/pipe"
    }


@pytest.mark.parametrize("compressor", COMPRESSORS)
def test_every_compressor_gives_the_same_tree(compressor: str, tree: Path, tmp_path: Path) -> None:
    suffix = {"gzip": "gz", "bzip2": "bz2", "xz": "xz", "zstd": "zst"}[compressor]
    archive = tmp_path / f"a.tar.{suffix}"
    run("tar", "-cf", archive, f"--{compressor}", "-C", tree, ".")
    theirs, ours = both(archive, tmp_path)
    assert ours == theirs


@pytest.mark.parametrize("form", ["gnu", "pax"])
def test_long_names_and_long_links_are_whole(form: str, tmp_path: Path) -> None:
    top = tmp_path / "top"
    deep = top / "/".join("d" * 100 for _ in range(6))
    deep.mkdir(parents=True)
    (deep / ("f" * 255)).write_text("x")
    (deep / "ünï\n\udcff").write_text("y")  # and a byte that is no UTF-8
    os.link(deep / ("f" * 255), top / "hard")
    (top / "soft").symlink_to("/" + "/".join("t" * 100 for _ in range(9)))
    run("tar", "-cf", tmp_path / "a.tar", f"--format={form}", "-C", top, ".")
    theirs, ours = both(tmp_path / "a.tar", tmp_path)
    assert ours == theirs


@pytest.mark.parametrize("options", [("--format=gnu",), ("--format=pax", "--sparse-version=0.1"), ("--format=pax",)])
def test_holes_stay_holes(options: tuple[str, ...], tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    with sized(top / "holes", 6 * MIB).open("r+b") as file:
        for place in (0, 2 * MIB + 4096, 6 * MIB - 4096):
            file.seek(place)
            file.write(os.urandom(4096))
    run("tar", "-cSf", tmp_path / "a.tar", *options, "-C", top, ".")
    assert (tmp_path / "a.tar").stat().st_size < MIB
    theirs, ours = both(tmp_path / "a.tar", tmp_path)
    assert ours == theirs
    with loop(tmp_path / "ours") as device, mounted(device, tmp_path / "mnt", "-o", "ro"):
        assert (tmp_path / "mnt/holes").stat().st_blocks * 512 < 2 * MIB


def test_extended_attributes_and_capabilities_are_kept(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    with loop(sized(tmp_path / "source", 8 * MIB)) as device:
        run("mkfs.ext4", "-q", "-F", device)
        with mounted(device, top):
            (top / "ping").write_bytes(b"x")
            (top / "link").symlink_to("ping")
            capability = bytes.fromhex("0100000200200000000000000000000000000000")  # cap_net_raw=ep
            os.setxattr(top / "ping", "security.capability", capability)
            os.setxattr(top / "ping", "user.binary", bytes(range(256)))
            os.setxattr(top, "user.top", b"a=b\nc")
            os.setxattr(top / "link", "trusted.link", b"x", follow_symlinks=False)
            every = ("--xattrs", "--xattrs-include=*")
            run("tar", "-cf", tmp_path / "a.tar", *every, "--exclude=./lost+found", "-C", top, ".")
    theirs, ours = both(tmp_path / "a.tar", tmp_path, *every)
    assert ours == theirs
    assert ("security.capability", capability) in ours["ping"][5]  # type: ignore[index]


def test_device_nodes_are_the_same_where_they_are_allowed(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    os.mknod(top / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(top / "large", stat.S_IFCHR | 0o600, os.makedev(511, 1000))
    run("tar", "-cf", tmp_path / "a.tar", "-C", top, ".")
    theirs, ours = both(tmp_path / "a.tar", tmp_path, allow_devices=True)
    assert ours == theirs


def test_what_gnu_tar_wrote_in_pieces_of_another_size_is_read(tree: Path, tmp_path: Path) -> None:
    """An archive that ends after its end mark, without the padding to a record."""
    with (tmp_path / "a.tar").open("wb") as file:
        subprocess.run(["tar", "-b", "1", "-c", "-C", str(tree), "."], check=True, stdout=file)
    theirs, ours = both(tmp_path / "a.tar", tmp_path)
    assert ours == theirs

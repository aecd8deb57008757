"""The same content makes the same bundle, whoever builds it, where and when."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pki.build import shared_pki
from support.bundles import make_content, some_image
from support.tampering import parts_of

PKI = shared_pki()
NAMES = ("rootfs.img", "a small file", "-b", "z.ext4", "ümlaut.img")
OTA_BUNDLE = str(Path(sys.executable).with_name("ota-bundle"))


def content_in(folder: Path, *, reverse: bool, mode: int, mtime: int) -> Path:
    """The same files, made in another order, with other times and permissions."""
    content = make_content(folder, version="1", compatible="demo-board", image=some_image(900_001))
    for number, name in sorted(enumerate(NAMES), reverse=reverse):
        (content / name).unlink(missing_ok=True)
        (content / name).write_bytes(some_image(50_000 * number + 10, seed=number))
    (content / "hook.sh").write_text("#!/bin/sh\n")
    (content / "hook.sh").chmod(0o700 if mode == 0o600 else 0o775)
    for path in content.iterdir():
        if path.name != "hook.sh":
            path.chmod(mode)
        os.utime(path, (mtime, mtime))
    os.utime(content, (mtime, mtime))
    return content


def build(content: Path, out: Path, *options: str, as_other_user: bool = False, **env: str) -> Path:
    certificate, key = PKI.signer("rsa2048").write(out.parent)
    argv = [OTA_BUNDLE, "create", str(content), str(out), "--cert", str(certificate), "--key", str(key), *options]
    environment = {"PATH": os.environ["PATH"], **env}
    if as_other_user:
        folder = out.parent
        for path in (folder, content, *folder.iterdir(), *content.iterdir()):
            os.chown(path, 65534, 65534)
    user = {"user": 65534, "group": 65534, "extra_groups": []} if as_other_user else {}
    subprocess.run(argv, env=environment, check=True, capture_output=True, timeout=120, **user)  # type: ignore[call-overload]
    return out


@pytest.mark.parametrize("compression", ["gzip", "xz", "zstd", "lz4"])
@pytest.mark.parametrize("kind", ["verity", "plain"])
def test_times_order_permissions_and_zones_leave_no_trace(kind: str, compression: str, tmp_path: Path) -> None:
    one = content_in(tmp_path / "one", reverse=False, mode=0o644, mtime=1_000_000_000)
    two = content_in(tmp_path / "other" / "two", reverse=True, mode=0o600, mtime=1_700_000_001)
    options = ("--format", kind, "--compression", compression)
    first = build(one, tmp_path / "1.raucb", *options, TZ="UTC")
    second = build(two, tmp_path / "2.raucb", *options, TZ="Asia/Tokyo", LC_ALL="C", HOME=str(tmp_path))
    assert parts_of(first).payload == parts_of(second).payload


@pytest.mark.root
def test_another_user_makes_the_same_bytes(tmp_path: Path) -> None:
    base = Path(subprocess.run(["mktemp", "-d"], check=True, capture_output=True, text=True).stdout.strip())
    base.chmod(0o755)
    one = content_in(tmp_path / "one", reverse=False, mode=0o644, mtime=1)
    two = content_in(base / "two", reverse=False, mode=0o644, mtime=1)
    first = build(one, tmp_path / "1.raucb")
    second = build(two, base / "2.raucb", as_other_user=True)
    assert second.stat().st_uid == 65534
    assert parts_of(first).payload == parts_of(second).payload
    subprocess.run(["rm", "-r", str(base)], check=True)


def test_with_a_fixed_time_and_an_rsa_key_every_byte_is_the_same(tmp_path: Path) -> None:
    content = content_in(tmp_path / "content", reverse=False, mode=0o644, mtime=1)
    epoch = {"SOURCE_DATE_EPOCH": "1700000000"}
    first, second = (build(content, tmp_path / f"{n}.raucb", **epoch).read_bytes() for n in (1, 2))
    assert hashlib.sha256(first).digest() == hashlib.sha256(second).digest()
    assert b"231114221320Z" in first  # the signing time


def test_the_epoch_is_the_time_of_the_files(tmp_path: Path) -> None:
    content = content_in(tmp_path / "content", reverse=False, mode=0o644, mtime=1)
    for epoch, shown in (("1700000000", "2023-11-14"), ("", "1970-01-01")):
        bundle = build(content, tmp_path / f"at{epoch}.raucb", SOURCE_DATE_EPOCH=epoch)
        listed = subprocess.run(
            ["unsquashfs", "-UTC", "-lls", str(bundle)], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        files = [line for line in listed if "squashfs-root" in line]
        assert len(files) == len(NAMES) + 3
        assert all(shown in line and "root/root" in line for line in files)
        assert [line[:10] for line in files if line.endswith(("hook.sh", "z.ext4"))] == ["-rwxr-xr-x", "-rw-r--r--"]


def test_another_content_gets_another_salt(tmp_path: Path) -> None:
    one = content_in(tmp_path / "one", reverse=False, mode=0o644, mtime=1)
    two = content_in(tmp_path / "two", reverse=False, mode=0o644, mtime=1)
    (two / "a small file").write_bytes(b"different")
    salts = [
        next(
            line
            for line in parts_of(build(content, tmp_path / f"{content.name}.raucb")).cms.split(b"\n")
            if b"salt" in line
        )
        for content in (one, two)
    ]
    assert salts[0] != salts[1]


@pytest.mark.parametrize("value", ["now", "-1", "4294967296", "1.5", "\u0661"])
def test_a_source_date_epoch_that_is_no_time_is_refused(value: str, tmp_path: Path) -> None:
    content = content_in(tmp_path / "content", reverse=False, mode=0o644, mtime=1)
    with pytest.raises(subprocess.CalledProcessError) as caught:
        build(content, tmp_path / "x.raucb", SOURCE_DATE_EPOCH=value)
    assert b"[sign.epoch-invalid]" in caught.value.stderr

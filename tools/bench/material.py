"""What is installed: an ext4 image of this machine's own files, in bundles of every kind, and two slots on loop devices."""

from __future__ import annotations

import datetime
import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.bundler.keygen import make_pki

KINDS = tuple((form, compression) for form in ("plain", "verity") for compression in ("gzip", "zstd"))


def image(build: Path, size: int) -> Path:
    """Makes the image, of ``size`` MiB, when it is missing."""
    content = build / f"content-{size}"
    path = content / "rootfs.ext4"
    if path.exists():
        return path
    print(f"bench: making a {size} MiB ext4 image from this machine's own files")
    root = build / "root"
    for folder in (root, content):
        shutil.rmtree(folder, ignore_errors=True)
    (root / "usr").mkdir(parents=True)
    content.mkdir()
    _fill(root / "usr", (size * 7 // 8) << 20)
    subprocess.run(
        ["mke2fs", "-q", "-F", "-m", "0", "-t", "ext4", "-d", root, path, f"{size}M"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    shutil.rmtree(root)
    return path


def bundles(build: Path, size: int) -> dict[tuple[str, str], Path]:
    """Makes the bundles with rauc, when they are missing, and a PKI for them."""
    content, pki = image(build, size).parent, build / "pki"
    if not (pki / "signer.pem").exists():
        make_pki(pki, now=datetime.datetime.now(datetime.UTC))
    found = {kind: build / f"bench-{size}-{kind[0]}-{kind[1]}.raucb" for kind in KINDS}
    for (form, compression), bundle in found.items():
        if bundle.exists():
            continue
        print(f"bench: making {bundle.name} with rauc")
        (content / "manifest.raucm").write_text(
            f"[update]\ncompatible=bench\nversion=1.1.0\n\n[bundle]\nformat={form}\n\n[image.rootfs]\nfilename=rootfs.ext4\n"
        )
        subprocess.run(
            ["rauc", "bundle", f"--mksquashfs-args=-comp {compression}", f"--cert={pki / 'signer.pem'}",
             f"--key={pki / 'signer.key'}", f"--intermediate={pki / 'ca.pem'}", content, bundle],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    return found


@contextmanager
def two_slots(build: Path, size: int) -> Iterator[list[str]]:
    """Loop devices over files of ``size`` MiB; the second one is the target."""
    devices: list[str] = []
    try:
        for name in ("a.img", "b.img"):
            path = build / name
            path.unlink(missing_ok=True)
            with path.open("wb") as file:
                file.truncate(size << 20)
            shown = subprocess.run(["losetup", "-f", "--show", path], check=True, capture_output=True, text=True)
            devices.append(shown.stdout.strip())
        yield devices
    finally:
        for device in devices:
            subprocess.run(["losetup", "-d", device], check=True)


def check_and_blank(path: Path, device: str) -> None:
    """The device must hold the image; afterwards it holds zeros."""
    subprocess.run(["cmp", "-n", str(path.stat().st_size), path, device], check=True)
    subprocess.run(["blkdiscard", "-f", "-z", device], check=True, stderr=subprocess.DEVNULL)


def _fill(target: Path, limit: int) -> None:
    files = sorted(
        path for top in ("/usr/bin", "/usr/lib") for path in Path(top).rglob("*")
        if path.is_file() and not path.is_symlink() and path.stat().st_size > 4096
    )  # fmt: skip
    random.Random(1).shuffle(files)
    for number, path in enumerate(files):
        if path.stat().st_size <= limit:
            limit -= path.stat().st_size
            shutil.copyfile(path, target / str(number))

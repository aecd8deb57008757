"""Loop devices with a GPT, for tests that need real block devices. Needs root."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from slots.model import Slot

_DATABASE = Path("/run/udev/data")


def run(*command: str | Path, text: str = "") -> str:
    return subprocess.run(
        [str(part) for part in command], input=text, check=True, capture_output=True, text=True, timeout=60
    ).stdout.strip()


@contextmanager
def loop(file: Path, *options: str) -> Iterator[str]:
    device = run("losetup", "--find", "--show", *options, file)
    try:
        yield device
    finally:
        run("losetup", "--detach", device)


@contextmanager
def disk(file: Path, labels: Sequence[str], mib: int = 4) -> Iterator[dict[str, str]]:
    """A disk with one partition of ``mib`` MiB for each label; gives the nodes by label, and the disk as ``""``."""
    with file.open("wb") as image:
        image.truncate((len(labels) * mib + 2) * 1024 * 1024)
    lines = [f"start={1 + mib * number}MiB, size={mib}MiB, name={label}" for number, label in enumerate(labels)]
    run("sfdisk", "--quiet", file, text="label: gpt\n" + "\n".join(lines) + "\n")
    with loop(file) as device:
        run("partx", "--add", device)
        nodes = {label: f"{device}p{number}" for number, label in enumerate(labels, 1)}
        try:
            _await(nodes.values())
            with _in_udev_database(nodes):
                yield {"": device, **nodes}
        finally:
            run("partx", "--delete", device)


@contextmanager
def mounted(source: str, where: Path, *options: str) -> Iterator[None]:
    where.mkdir(exist_ok=True)
    run("mount", *options, source, where)
    try:
        yield
    finally:
        run("umount", where)


def slot(device: str | Path, *, readonly: bool = False) -> Slot:
    return Slot("rootfs.1", "rootfs", 1, str(device), "raw", bootname="B", readonly=readonly)


@contextmanager
def _in_udev_database(nodes: Mapping[str, str]) -> Iterator[None]:
    """Records what udevd would: kernels know no names of partitions that were added by partx, nor without EFI_PARTITION."""
    records = []
    _DATABASE.mkdir(parents=True, exist_ok=True)
    try:
        for label, node in nodes.items():
            rdev = os.stat(node).st_rdev
            uuid = run("blkid", "--probe", "--match-tag", "PART_ENTRY_UUID", "--output", "value", node)
            record = _DATABASE / f"b{os.major(rdev)}:{os.minor(rdev)}"
            record.write_text(f"I:1\nE:ID_PART_ENTRY_NAME={label}\nE:ID_PART_ENTRY_UUID={uuid}\n")
            records.append(record)
        yield
    finally:
        for record in records:
            record.unlink(missing_ok=True)


def _await(nodes: Iterable[str]) -> None:
    deadline = time.monotonic() + 5
    while not all(Path(node).is_block_device() for node in nodes) and time.monotonic() < deadline:
        time.sleep(0.01)

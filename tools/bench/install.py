"""The same ext4 image, in the same plain bundle made by rauc, installed by `rauc install` and by our installer.

rauc's time starts at `rauc install` with its service already running; ours includes the start of the installer process. We
read back what was written before we are done, rauc does not; that part is shown by itself. rauc's CPU leaves out the work
that the kernel does for it (loop device, squashfs), which ours does in the process.
"""

from __future__ import annotations

import datetime
import os
import random
import re
import resource
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from agent.bundler.keygen import make_pki
from agent.daemon.children import spawn
from agent.errors import from_explained

_SYSTEM_CONF = """[system]
compatible=bench
bootloader=noop
mountprefix={work}/mnt
statusfile={work}/rauc.status
[keyring]
path={work}/pki/root.pem
check-purpose=codesign
[slot.rootfs.0]
device={a}
type=ext4
bootname=A
[slot.rootfs.1]
device={b}
type=ext4
bootname=B
"""
_RAUC_RUN = """
export DBUS_STARTER_BUS_TYPE=session
rauc -c {work}/system.conf --mount={work}/mnt --override-boot-slot=A service >/dev/null 2>&1 & service=$!
for _ in 1 2 3 4 5 6 7 8 9 10; do rauc -c {work}/system.conf status >/dev/null 2>&1 && break; sleep 0.2; done
before=$(cat /proc/$service/stat | cut -d' ' -f14,15)
start=$(date +%s%N)
rauc -c {work}/system.conf install {bundle} >{work}/rauc.log 2>&1 || {{ cat {work}/rauc.log >&2; kill $service; exit 1; }}
end=$(date +%s%N)
after=$(cat /proc/$service/stat | cut -d' ' -f14,15)
echo "RESULT $((end-start)) $before $after $(grep VmHWM /proc/$service/status | tr -dc 0-9)"
kill $service
"""


@dataclass(frozen=True)
class Sample:
    """One installation: wall and CPU in seconds, peak resident memory in MiB, part of the wall spent reading back."""

    wall: float
    cpu: float
    peak: float
    read_back: float = 0.0


def measure(build: Path, size: int, rounds: int) -> dict[str, object]:
    """Makes the image and the bundle when missing, then alternates the two programs."""
    if os.geteuid() != 0:
        sys.exit("bench: the comparison with rauc needs root (loop devices and mounts): sudo make bench")
    bundle = _prepare(build, size)
    image = build / f"content-{size}" / "rootfs.ext4"
    slots = [_loop(build / name, size + 16) for name in ("a.img", "b.img")]
    try:
        (build / "mnt").mkdir(exist_ok=True)
        (build / "system.conf").write_text(_SYSTEM_CONF.format(work=build, a=slots[0], b=slots[1]))
        theirs, ours = [], []
        for _ in range(rounds):
            theirs.append(_rauc(build, bundle))
            _same(image, slots[1])
            _blank(slots[1])
            ours.append(_ours(build, bundle, slots))
            _same(image, slots[1])
            _blank(slots[1])
    finally:
        for device in slots:
            subprocess.run(["losetup", "-d", device], check=True)
    return _table(size, bundle.stat().st_size, theirs, ours)


def _prepare(build: Path, size: int) -> Path:
    content, bundle = build / f"content-{size}", build / f"bench-{size}.raucb"
    if bundle.exists():
        return bundle
    print(f"bench: making a {size} MiB ext4 image from this machine's own files, and a plain bundle of it with rauc")
    root = build / "root"
    for path in (root, content, build / "pki"):
        shutil.rmtree(path, ignore_errors=True)
    (root / "usr").mkdir(parents=True)
    content.mkdir()
    _fill(root / "usr", (size * 7 // 8) << 20)
    subprocess.run(
        ["mke2fs", "-q", "-F", "-m", "0", "-t", "ext4", "-d", root, content / "rootfs.ext4", f"{size}M"],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    shutil.rmtree(root)
    (content / "manifest.raucm").write_text(
        "[update]\ncompatible=bench\nversion=1.1.0\n\n[bundle]\nformat=plain\n\n[image.rootfs]\nfilename=rootfs.ext4\n"
    )
    make_pki(build / "pki", now=datetime.datetime.now(datetime.UTC))
    pki = build / "pki"
    subprocess.run(
        ["rauc", "bundle", f"--cert={pki / 'signer.pem'}", f"--key={pki / 'signer.key'}", f"--intermediate={pki / 'ca.pem'}",
         content, bundle],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return bundle


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


def _loop(path: Path, size: int) -> str:
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        file.truncate(size << 20)
    shown = subprocess.run(["losetup", "-f", "--show", path], check=True, capture_output=True, text=True)
    return shown.stdout.strip()


def _rauc(build: Path, bundle: Path) -> Sample:
    script = _RAUC_RUN.format(work=build, bundle=bundle)
    done = subprocess.run(
        ["unshare", "-m", "dbus-run-session", "--", "sh", "-c", script], check=True, capture_output=True, text=True
    )
    numbers = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)", done.stdout)
    if numbers is None:
        raise RuntimeError(f"rauc said: {done.stdout} {done.stderr}")
    wall, *ticks, peak = (int(number) for number in numbers.groups())
    return Sample(wall / 1e9, (ticks[2] + ticks[3] - ticks[0] - ticks[1]) / os.sysconf("SC_CLK_TCK"), peak / 1024)


def _ours(build: Path, bundle: Path, slots: list[str]) -> Sample:
    fd = os.open(bundle, os.O_RDONLY)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    child = spawn("installer")
    common = {
        "trust": {
            "path": str(build / "pki/root.pem"), "check_purpose": "codesign", "check_crl": False, "allowed_signer_cns": [],
        },
        "formats": ["plain", "verity"],
        "when": int(time.time()), "size": 0, "sha256": "", "spool": "",
    }  # fmt: skip
    child.channel.send({"op": "inspect", **common}, fds=(fd,))
    manifest_hash = _final(child).text("manifest_hash")
    slot = {"name": "rootfs.1", "class": "rootfs", "index": 1, "device": slots[1], "type": "raw"}
    child.channel.send(
        {
            "op": "install",
            "manifest_hash": manifest_hash,
            "booted": [slots[0]],
            "starts": {},
            "slots": [slot],
            **common,
        },
        fds=(fd,),
    )
    answer = _final(child)
    wall = time.monotonic() - started
    peak = _peak(child.pid)
    child.close()
    os.close(fd)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    read_back = answer.header.get("read_back_seconds", 0.0)
    return Sample(wall, cpu, peak, read_back if isinstance(read_back, float) else 0.0)


def _final(child):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - a tool
    while True:
        frame = child.receive(600)
        if frame.op == "error":
            raise from_explained(frame.header["error"])
        if frame.op not in ("progress", "checkpoint"):
            return frame


def _peak(pid: int) -> float:
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def _same(image: Path, device: str) -> None:
    subprocess.run(["cmp", "-n", str(image.stat().st_size), image, device], check=True)


def _blank(device: str) -> None:
    subprocess.run(["blkdiscard", "-f", "-z", device], check=True, stderr=subprocess.DEVNULL)


def _table(size: int, bundle_size: int, theirs: list[Sample], ours: list[Sample]) -> dict[str, object]:
    def median(samples: list[Sample], key: str) -> float:
        return statistics.median(getattr(sample, key) for sample in samples)

    print(
        f"\ninstallation of a {size} MiB ext4 image from a plain bundle of {bundle_size >> 20} MiB, median of {len(ours)}"
    )
    print(f"{'':22}{'rauc 1.8':>10}{'ota-agent':>11}{'ratio':>8}")
    for key, unit in (("wall", "s"), ("cpu", "s"), ("peak", "MiB")):
        one, two = median(theirs, key), median(ours, key)
        print(f"{key + ', ' + unit:22}{one:10.2f}{two:11.2f}{two / one:8.2f}")
    print(f"{'  of it reading back':22}{'-':>10}{median(ours, 'read_back'):11.2f}")
    return {"size_mib": size, "rauc": [asdict(s) for s in theirs], "ota_agent": [asdict(s) for s in ours]}

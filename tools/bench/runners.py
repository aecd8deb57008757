"""One installation by each of the programs that are compared."""

from __future__ import annotations

import os
import re
import resource
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from agent.daemon.children import Child, spawn
from agent.errors import from_explained
from agent.wire import Frame, pair

ROOT = Path(__file__).resolve().parents[2]
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
{fetch}
rauc -c {work}/system.conf install {bundle} >{work}/rauc.log 2>&1 || {{ cat {work}/rauc.log >&2; kill $service; exit 1; }}
end=$(date +%s%N)
after=$(cat /proc/$service/stat | cut -d' ' -f14,15)
echo "RESULT $((end-start)) $before $after $(grep VmHWM /proc/$service/status | tr -dc 0-9)"
kill $service
"""
# Hashes bytes on their way past the cache: nothing is verified or read back. A named pipe, because the shell neither waits
# for a process substitution inside a pipeline nor counts its CPU time.
_FLOOR = """set -eo pipefail
rm -f {work}/floor.pipe && mkfifo {work}/floor.pipe
sha256sum <{work}/floor.pipe >{work}/floor.sum & hashing=$!
{feed} | tee {work}/floor.pipe | dd of={slot} bs=1M iflag=fullblock oflag=direct conv=fsync,notrunc status=none
wait $hashing
"""


@dataclass(frozen=True)
class Sample:
    """One installation: wall and CPU in seconds, peak resident memory in MiB, and what is special to ours.

    ``start`` is the part of the wall time until our installer could take its first request; rauc's service runs already.
    """

    wall: float
    cpu: float
    peak: float
    start: float = 0.0
    read_back: float = 0.0
    fetcher_peak: float = 0.0


def configure_rauc(build: Path, slots: list[str]) -> None:
    """Writes ``system.conf``."""
    (build / "mnt").mkdir(exist_ok=True)
    (build / "system.conf").write_text(_SYSTEM_CONF.format(work=build, a=slots[0], b=slots[1]))


def rauc(build: Path, bundle: Path, slots: list[str], *, fetch: Sequence[str] = ()) -> Sample:
    """``rauc install``, with the service already running; the kernel's work (loop, squashfs) is not in its CPU.

    With ``fetch``, the arguments of ``curl`` for a bundle on a server, it is downloaded first, as rauc-hawkbit-updater does
    where it cannot stream; curl's CPU is not counted.
    """
    configure_rauc(build, slots)
    download = ""
    if fetch:
        bundle = build / "downloaded.raucb"
        download = shlex.join(["curl", "-fsS", "-o", str(bundle), *fetch])
    script = _RAUC_RUN.format(work=build, bundle=bundle, fetch=download)
    command = ["unshare", "-m", "dbus-run-session", "--", "sh", "-c", script]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    numbers = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)", done.stdout)
    if numbers is None:
        raise RuntimeError(f"rauc said: {done.stdout} {done.stderr}"[-600:])
    wall, *ticks, peak = (int(number) for number in numbers.groups())
    return Sample(wall / 1e9, (ticks[2] + ticks[3] - ticks[0] - ticks[1]) / os.sysconf("SC_CLK_TCK"), peak / 1024)


def unpacking_floor(build: Path, bundle: Path, slots: list[str]) -> Sample:
    """``unsquashfs -cat | sha256sum | dd``: the image out of the bundle."""
    return _floor(build, f"unsquashfs -p 1 -cat {bundle} rootfs.ext4 2>/dev/null", slots)


def floor(build: Path, image: Path, slots: list[str]) -> Sample:
    """``sha256sum | dd``: the image as it is, with nothing to unpack."""
    return _floor(build, f"cat {image}", slots)


def _floor(build: Path, feed: str, slots: list[str]) -> Sample:
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(["bash", "-c", _FLOOR.format(work=build, feed=feed, slot=slots[1])], check=True)
    return Sample(time.monotonic() - started, _cpu_since(before), 0.0)


def ours(build: Path, bundle: Path, slots: list[str], *, remote: tuple[str, dict[str, object]] | None = None) -> Sample:
    """Our installer, its start included; with ``remote`` (address and session) also our fetcher.

    The daemon's part is played here: inspect, then install, with the installer that inspected, and the fetcher that supplied
    it. Like the daemon's, the fetcher has polled before: its start, and its first answer, belong to the start.
    """
    sys.path.insert(0, str(ROOT / "tests"))
    from support.frames import common

    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    spool = build / "spool.raucb"
    spool.unlink(missing_ok=True)
    request = common(build / "pki/root.pem", size=bundle.stat().st_size, spool=str(spool))
    with ExitStack() as children:
        installer = children.enter_context(spawn("installer"))
        installer.channel.send({"op": "bench"})  # it knows no such request, and says so as soon as it can say anything
        source = _File(bundle) if remote is None else _Server(children.enter_context(spawn("fetcher")), *remote)
        source.begin()
        start = time.monotonic() - started if installer.receive(60).op == "error" else 0.0
        inspected = source.ask(installer, {"op": "inspect", **request})
        slot = {"name": "rootfs.1", "class": "rootfs", "index": 1, "device": slots[1], "type": "raw"}
        plan = {
            "manifest_hash": inspected.text("manifest_hash"), "booted": [slots[0]], "starts": {}, "slots": [slot],
        }  # fmt: skip
        done = source.ask(installer, {"op": "install", **plan, **request})
        wall, peak, fetcher_peak = time.monotonic() - started, _peak(installer.pid), source.peak()
    read_back = done.header.get("read_back_seconds", 0.0)
    read_back = read_back if isinstance(read_back, float) else 0.0
    return Sample(wall, _cpu_since(before), peak, start, read_back, fetcher_peak)


class _File:
    """A bundle on this machine."""

    def __init__(self, bundle: Path) -> None:
        self._bundle = bundle

    def begin(self) -> None:
        """Nobody has to be asked for it."""

    def ask(self, installer: Child, request: dict[str, object]) -> Frame:
        """The last word of the installer."""
        with self._bundle.open("rb") as file:
            installer.channel.send(request, fds=(file.fileno(),))
        return _final(installer)

    def peak(self) -> float:
        """Nobody but the installer needs memory."""
        return 0.0


class _Server:
    """A bundle on a server, and the fetcher that brings it."""

    def __init__(self, fetcher: Child, url: str, session: dict[str, object]) -> None:
        self._fetcher, self._url, self._session = fetcher, url, session

    def begin(self) -> None:
        """Opens the session, and polls."""
        address, found = urlsplit(self._url), re.match("(/[^/]+/controller/v1/[^/]+)/", urlsplit(self._url).path)
        if found is None:
            raise RuntimeError(f"{self._url} is no address of a device's bundle")
        poll = {"op": "request", "method": "GET", "url": f"{address.scheme}://{address.netloc}{found[1]}"}
        for request in (self._session, poll):
            self._fetcher.channel.send(request)
            _final(self._fetcher)

    def ask(self, installer: Child, request: dict[str, object]) -> Frame:
        """The last word of the installer."""
        near, far = pair("installer", "fetcher")
        self._fetcher.channel.send({"op": "serve", "url": self._url, "size": request["size"]}, fds=(far.fileno(),))
        installer.channel.send(request, fds=(near.fileno(),))
        near.close()
        far.close()
        answer = _final(installer)
        _final(self._fetcher)
        return answer

    def peak(self) -> float:
        """The peak memory of the fetcher in MiB."""
        return _peak(self._fetcher.pid)


def _final(child: Child) -> Frame:
    while True:
        frame = child.receive(600)
        if frame.op == "error":
            parts = frame.header["error"]
            raise from_explained(parts if isinstance(parts, dict) else {})
        if frame.op not in ("progress", "checkpoint"):
            return frame


def _peak(pid: int) -> float:
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def _cpu_since(before: resource.struct_rusage) -> float:
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

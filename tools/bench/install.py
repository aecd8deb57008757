"""The same ext4 image in bundles of both formats, gzip and zstd, local and over HTTPS, by rauc, by us, and by plain tools.

rauc's time starts at `rauc install` with its service already running. The same is shown for us as "from request": from the
first request to a running installer on. Our wall time, CPU time and memory also include its start. We verify twice (before
deciding, before writing) and read back what was written, which the others do not. By HTTPS the other side is a download by
curl and `rauc install` after it; our fetcher has polled before, as the one of the daemon has.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from tools.bench import material, runners
from tools.bench.runners import Sample

if TYPE_CHECKING:
    from support.server import Running

ROOT = Path(__file__).resolve().parents[2]
GOALS = {"wall": ("rauc", 0.8), "cpu": ("floor", 1.5)}
PEAK_GOAL = 40.0  # MiB
Run = Callable[[], Sample]


def measure(build: Path, size: int, rounds: int) -> dict[str, object]:
    """Makes what is missing, then lets everybody install in turn."""
    if os.geteuid() != 0:
        sys.exit("bench: the comparison with rauc needs root (loop devices and mounts): sudo make bench")
    sys.path.insert(0, str(ROOT / "tests"))
    from support.server import running_server

    image, bundles = material.image(build, size), material.bundles(build, size)
    samples: dict[str, list[Sample]] = {}
    with (
        tempfile.TemporaryDirectory(dir=build) as folder,
        running_server(Path(folder)) as server,
        material.two_slots(build, size + 16) as slots,
    ):
        runs: dict[str, Run] = {}
        for (form, compression), bundle in bundles.items():
            runs |= _contest(build, f"{form} {compression}", bundle, slots, server)
        runs["floor"] = lambda: runners.floor(build, image, slots)
        for _ in range(rounds):
            for name, run in runs.items():
                samples.setdefault(name, []).append(run())
                material.check_and_blank(image, slots[1])
        _explain_verity(build, bundles["verity", "gzip"], slots)
    _table(size, rounds, samples)
    return {"size_mib": size, **{name: [asdict(each) for each in found] for name, found in samples.items()}}


def _contest(build: Path, kind: str, bundle: Path, slots: list[str], server: Running) -> dict[str, Run]:
    from support.server import TOKEN

    def by_https() -> Sample:
        address = server.offer(bundle)[1]  # a new offer takes the place of the one before
        return runners.ours(build, bundle, slots, remote=(address, server.session(read_timeout=30)))

    runs: dict[str, Run] = {
        f"{kind} ours": lambda: runners.ours(build, bundle, slots),
        f"{kind} ours by HTTPS": by_https,
    }

    def by_curl() -> Sample:
        address, ca = server.offer(bundle)[1], build / "server-ca.pem"
        ca.write_text(server.ca_pem)
        return runners.rauc(
            build, bundle, slots, fetch=("--cacert", str(ca), "-H", f"Authorization: TargetToken {TOKEN}", address)
        )

    if kind.startswith("plain"):
        runs[f"{kind} rauc"] = lambda: runners.rauc(build, bundle, slots)
        runs[f"{kind} curl, then rauc"] = by_curl
        runs[f"{kind} unpacking floor"] = lambda: runners.unpacking_floor(build, bundle, slots)
    return runs


def _explain_verity(build: Path, bundle: Path, slots: list[str]) -> None:
    """rauc needs device-mapper for verity, and nbd for HTTP; say so when this machine has none."""
    try:
        runners.rauc(build, bundle, slots)
    except RuntimeError as error:
        said = [line for line in str(error).splitlines() if "LastError" in line] or [str(error)]
        print(f"\nrauc cannot install the verity bundle here: {said[0].strip()[:200]}")
    if not Path("/dev/nbd0").exists():
        print("rauc 1.8 cannot stream here: it needs nbd in the kernel, and there is no /dev/nbd0")


def _table(size: int, rounds: int, samples: dict[str, list[Sample]]) -> None:
    def median(name: str, key: str) -> float:
        return statistics.median(getattr(sample, key) for sample in samples[name])

    print(f"\ninstallation of a {size} MiB ext4 image, median of {rounds} alternating rounds")
    print(
        "floor: the image through sha256sum and dd oflag=direct conv=fsync; unpacking floor: the same after unsquashfs -cat"
    )
    print(
        f"{'':28}{'wall s':>8}{'from request':>14}{'CPU s':>8}{'peak MiB':>10}{'/rauc':>8}{'/rauc wall':>12}"
        f"{'/floor CPU':>12}{'/unpacking':>12}  read back s"
    )
    for name in samples:
        wall, cpu, peak = (median(name, key) for key in ("wall", "cpu", "peak"))
        request = statistics.median(sample.wall - sample.start for sample in samples[name])
        line = f"{name:28}{wall:8.2f}{request:14.2f}{cpu:8.2f}{f'{peak:.1f}' if peak else '-':>10}"
        if name != "floor":
            remote = "HTTPS" in name or "curl" in name
            rauc = median(f"plain {name.split()[1]} {'curl, then rauc' if remote else 'rauc'}", "wall")
            line += f"{request / rauc:8.2f}{wall / rauc:12.2f}{cpu / median('floor', 'cpu'):12.2f}"
            line += f"{cpu / median(f'plain {name.split()[1]} unpacking floor', 'cpu'):12.2f}"
        if "ours" in name:
            line += f"{median(name, 'read_back'):13.2f}"
        if fetcher := median(name, "fetcher_peak"):
            line += f"   fetcher {fetcher:.1f} MiB"
        print(line)
    print(f"goals for ours: /rauc <= {GOALS['wall'][1]}, /floor CPU <= {GOALS['cpu'][1]}, peak <= {PEAK_GOAL:.0f} MiB")

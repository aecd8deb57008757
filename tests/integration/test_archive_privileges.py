"""The drop-in for archives gives what unpacking needs: tried with exactly the capabilities that it and the unit name."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from support.disks import loop
from support.filesystems import sized
from support.handling import MIB, archive, entry

pytestmark = pytest.mark.root
ROOT = Path(__file__).parents[2]
CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000").decode("utf-8", "surrogateescape")
ARCHIVE = archive(
    (entry("bin/su", mode=0o4755, uid=0), b"x"),
    (entry("bin/ping", pax_headers={"SCHILY.xattr.security.capability": CAPABILITY}), b"x"),
    entry("home", tarfile.DIRTYPE, uid=1000, gid=1000, mode=0o2700),
    (entry("home/mine", uid=1000, gid=1000, mode=0o600), b"x"),
    entry("null", tarfile.CHRTYPE, devmajor=1, devminor=3),
)
PROGRAM = """
import sys
sys.path[:0] = ["tests"]
from support.handling import content_of, install, slot_on
from slots.errors import SlotError
from slots.handlers.preflight import preflight
slot = slot_on(sys.argv[1], "ext4", allow_devices=True)
try:
    preflight(slot, "tar", 1, name="rootfs.tar", booted=())
    install(slot, content_of(open(sys.argv[2], "rb").read(), "tar"))
except SlotError as error:
    sys.exit(error.code)
"""


def capabilities(name: str) -> list[str]:
    lines = (ROOT / "systemd" / name).read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("CapabilityBoundingSet=")]
    return line.partition("=")[2].lower().replace("cap_", "+").split()


@pytest.mark.req("C09")
@pytest.mark.parametrize(
    ("files", "outcome"),
    [
        (["ota-agent-install@.service", "ota-agent-archives.conf"], ""),
        (["ota-agent-install@.service"], "slot.mount-forbidden"),
    ],
)
def test_with_these_capabilities_an_archive_is(files: list[str], outcome: str, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(ARCHIVE)
    allowed = ",".join(["-all", *(each for file in files for each in capabilities(file))])
    with loop(sized(tmp_path / "disk", 8 * MIB)) as device:
        done = subprocess.run(
            ["setpriv", f"--bounding-set={allowed}", sys.executable, "-c", PROGRAM, device, str(tmp_path / "a.tar")],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert (done.stderr.strip(), done.returncode) == (outcome, 1 if outcome else 0)


RESIZED = """
import sys
sys.path[:0] = ["tests"]
from support.handling import content_of, install, slot_on
install(slot_on(sys.argv[1], "ext4", resize=True), content_of(open(sys.argv[2], "rb").read(), "ext4"))
"""


@pytest.mark.req("C15")
def test_the_installer_needs_no_capability_for_an_image_that_is_enlarged(tmp_path: Path) -> None:
    image = sized(tmp_path / "rootfs.ext4", 4 * MIB)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    assert capabilities("ota-agent-install@.service") == []
    with loop(sized(tmp_path / "disk", 12 * MIB)) as device:
        subprocess.run(
            ["setpriv", "--bounding-set=-all", sys.executable, "-c", RESIZED, device, str(image)], cwd=ROOT, check=True
        )
        told = subprocess.run(["dumpe2fs", "-h", device], capture_output=True, text=True, check=True).stdout
    blocks, size = (int(re.search(rf"^Block {what}: +(\d+)", told, re.MULTILINE)[1]) for what in ("count", "size"))  # type: ignore[index]
    assert blocks * size > 8 * MIB

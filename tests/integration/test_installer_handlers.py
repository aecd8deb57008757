"""The real installer process with slots that are more than a place for bytes: an archive and an empty file system."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from pki.build import pem, shared_pki
from support.bundles import make_bundle
from support.disks import loop, mounted, run
from support.filesystems import sized
from support.frames import common
from support.handling import MIB, archive, entry, slot_on

from agent.daemon.activities.work import described
from agent.daemon.children import Child, spawn
from agent.wire import Frame
from slots.model import Slot

pytestmark = pytest.mark.root
CONTENT = os.urandom(9 * MIB)
ARCHIVE = archive((entry("large"), CONTENT), mode="w:gz")


@pytest.fixture
def devices(tmp_path: Path) -> Iterator[list[str]]:
    with ExitStack() as stack:
        yield [stack.enter_context(loop(sized(tmp_path / name, 16 * MIB))) for name in ("rootfs", "data")]


def ask(child: Child, bundle: Path, op: str, **more: object) -> tuple[Frame, list[Frame]]:
    fd = os.open(bundle, os.O_RDONLY)
    try:
        child.channel.send({"op": op, **common(bundle.parent / "root.pem"), **more}, fds=(fd,))
    finally:
        os.close(fd)
    heard: list[Frame] = []
    while (frame := child.receive(60)).op in ("progress", "checkpoint"):
        heard.append(frame)
    return frame, heard


def install(bundle: Path, *slots: Slot, starts: dict[str, int] | None = None) -> tuple[Frame, list[Frame]]:
    (bundle.parent / "root.pem").write_bytes(pem(shared_pki().root))
    with spawn("installer") as child:
        inspected, _ = ask(child, bundle, "inspect")
        plan = {
            "booted": ["/nonexistent/running"],
            "starts": starts or {},
            "slots": [described(slot) for slot in slots],
        }
        return ask(child, bundle, "install", manifest_hash=inspected.text("manifest_hash"), **plan)


def of_class(name: str, device: str, kind: str, **more: object) -> Slot:
    made = slot_on(device, kind, **more)
    return Slot(**{**{key: getattr(made, key) for key in made.__slots__}, "name": f"{name}.1", "slot_class": name})


@pytest.mark.req("S03", "C11")
def test_an_archive_and_an_empty_file_system_are_installed_and_told(tmp_path: Path, devices: list[str]) -> None:
    bundle = make_bundle(tmp_path, image=ARCHIVE, image_type="tar", extra="[image.data]\ntype=emptyfs\n")
    rootfs, data = of_class("rootfs", devices[0], "ext4"), of_class("data", devices[1], "ext4")
    answer, heard = install(bundle, rootfs, data)
    assert answer.op == "installed", answer.header
    results = answer.header["results"]
    assert isinstance(results, list)
    assert results[0] == {
        "slot": "rootfs.1", "sha256": hashlib.sha256(ARCHIVE).hexdigest(), "size": len(ARCHIVE), "changed_by": "",
        "bytes": False,
    }  # fmt: skip
    assert (results[1]["slot"], results[1]["sha256"], results[1]["bytes"]) == ("data.1", "", False)
    assert answer.number("written") == len(CONTENT)
    assert not [frame for frame in heard if frame.op == "checkpoint"], "an archive starts over"
    with mounted(devices[0], tmp_path / "mnt", "-o", "ro"):
        assert (tmp_path / "mnt/large").read_bytes() == CONTENT
    assert "data.1" in run("dumpe2fs", "-h", devices[1])


def test_an_offset_of_an_archive_means_nothing(tmp_path: Path, devices: list[str]) -> None:
    bundle = make_bundle(tmp_path, image=ARCHIVE, image_type="tar")
    answer, _ = install(bundle, of_class("rootfs", devices[0], "ext4"), starts={"rootfs.img": 4 * MIB})
    assert answer.op == "installed", answer.header


def test_a_file_for_two_slots_starts_over_because_its_offset_says_not_which(tmp_path: Path, devices: list[str]) -> None:
    bundle = make_bundle(
        tmp_path, image=CONTENT, image_type="raw", extra="[image.data]\nfilename=rootfs.img\ntype=raw\n"
    )
    Path(devices[0]).write_bytes(CONTENT)
    slots = of_class("rootfs", devices[0], "raw"), of_class("data", devices[1], "raw")
    answer, heard = install(bundle, *slots, starts={"rootfs.img": 8 * MIB})
    assert answer.op == "installed", answer.header
    assert not [frame for frame in heard if frame.op == "checkpoint"]
    assert all(Path(device).read_bytes()[: len(CONTENT)] == CONTENT for device in devices)


def test_the_bytes_of_a_copy_are_in_the_slot_and_those_of_a_grown_file_system_are_not(
    tmp_path: Path, devices: list[str]
) -> None:
    image = sized(tmp_path / "image", 8 * MIB)
    run("mkfs.ext4", "-q", "-F", image)
    bundle = make_bundle(tmp_path, image=image, image_type="ext4")
    for more, same in (({}, True), ({"resize": True}, False)):
        answer, heard = install(bundle, of_class("rootfs", devices[0], "ext4", **more))
        assert answer.op == "installed", answer.header
        assert [result["bytes"] for result in answer.header["results"]] == [same]  # type: ignore[attr-defined]
        assert bool([frame for frame in heard if frame.op == "checkpoint"]) is same
        assert (Path(devices[0]).read_bytes()[: 8 * MIB] == image.read_bytes()) is same


def test_an_archive_for_a_slot_that_takes_none_is_refused_by_the_installer_too(
    tmp_path: Path, devices: list[str]
) -> None:
    before = Path(devices[0]).read_bytes()
    bundle = make_bundle(tmp_path, image=ARCHIVE, image_type="tar")
    answer, _ = install(bundle, of_class("rootfs", devices[0], "raw"))
    error = answer.header["error"]
    assert isinstance(error, dict)
    assert error["code"] == "slot.image-type"
    assert Path(devices[0]).read_bytes() == before

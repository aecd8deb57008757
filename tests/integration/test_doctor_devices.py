"""The doctor on real block devices: a disk with labelled partitions, its boot environment and its state among them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from support.disks import disk, loop, mounted, run
from support.patient import Patient

from agent.demo.bootscript import COPY_SIZE
from agent.doctor.subject import Places

pytestmark = pytest.mark.root
LABELS = ("test-rootfs-a", "test-rootfs-b", "test-state", "test-env")


class Board(Patient):
    """The patient, on a disk, with the real tables of the system."""

    def __init__(self, home: Path, nodes: Mapping[str, str]) -> None:
        super().__init__(home)
        self.nodes = nodes
        for index, label in enumerate(LABELS[:2]):
            self.settings[f"slot.rootfs.{index}.device"] = f"partlabel:{label}"
        self.settings["system.state-dir"] = "state-disk/ota-agent"
        node = nodes["test-env"]
        Path(node).write_bytes((home / "flash").read_bytes())
        lines = [f"{node} {offset:#x} {COPY_SIZE:#x}\n" for offset in (0, COPY_SIZE)]
        self.write("fw_env.config", "".join(lines).encode())

    @property
    def places(self) -> Places:
        return Places(systemd=self.home / "systemd", pstore=self.home / "backend", clock=self.clock)


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    with disk(tmp_path / "disk.img", LABELS) as nodes:
        for label in LABELS[:3]:
            run("mkfs.ext4", "-q", "-m", "0", "-L", "root", nodes[label])
        board = Board(tmp_path, nodes)
        with mounted(nodes["test-state"], tmp_path / "state-disk"):
            (tmp_path / "state").rename(tmp_path / "moved")
            run("cp", "-a", tmp_path / "moved", tmp_path / "state-disk/ota-agent")
            yield board


SMALL = {("state.space", "warning"), ("state.spool", "note")}  # the partition has 4 MiB


@contextmanager
def twin(board: Board) -> Iterator[None]:
    """Another medium with a partition of the same name, such as a USB stick of the factory."""
    with disk(board.home / "stick.img", ["test-rootfs-b"]):
        yield


@contextmanager
def used(board: Board) -> Iterator[None]:
    with mounted(board.nodes["test-rootfs-b"], board.home / "mnt", "-o", "ro"):
        yield


@contextmanager
def protected(board: Board) -> Iterator[None]:
    with loop(board.home / "b.img", "--read-only") as device:
        os.truncate(board.home / "a.img", os.path.getsize(board.home / "b.img"))
        with loop(board.home / "a.img") as other:
            board.settings["slot.rootfs.0.device"], board.settings["slot.rootfs.1.device"] = other, device
            yield


@contextmanager
def overlapping(board: Board) -> Iterator[None]:
    """The whole disk as a slot: it holds every other one, and the state too."""
    board.settings["slot.rootfs.1.device"] = board.nodes[""]
    yield


@contextmanager
def state_in_a_slot(board: Board) -> Iterator[None]:
    with mounted(board.nodes["test-rootfs-a"], board.home / "root"):
        board.settings["system.state-dir"] = "root/var/lib/ota-agent"
        run("mkdir", "-p", "-m", "0700", board.home / "root/var/lib")
        run("cp", "-a", board.home / "moved", board.home / "root/var/lib/ota-agent")
        yield


@contextmanager
def state_full(board: Board) -> Iterator[None]:
    with (board.home / "state-disk/filler").open("wb") as file, suppress(OSError):  # no space is left
        while True:
            os.write(file.fileno(), b"x" * 65536)
    yield
    (board.home / "state-disk/filler").unlink()


@contextmanager
def wrong_geometry(board: Board) -> Iterator[None]:
    """A description that is one sector off: both copies lie where U-Boot has none."""
    node = board.nodes["test-env"]
    lines = [f"{node} {512 + offset:#x} {COPY_SIZE:#x}\n" for offset in (0, COPY_SIZE)]
    board.write("fw_env.config", "".join(lines).encode())
    yield


def test_a_healthy_board_is_healthy(board: Board) -> None:
    assert board.complaints() == SMALL


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (twin, SMALL | {("slot.device", "error")}),
        (used, SMALL | {("slot.in-use", "error")}),
        (protected, SMALL | {("slot.protected", "error")}),
        (state_in_a_slot, SMALL | {("state.place", "error")}),
        (state_full, {("state.space", "error"), ("state.spool", "note")}),
        (wrong_geometry, SMALL | {("boot.environment", "error")}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_each_fault_is_found_and_nothing_else(board: Board, fault: object, expected: set[tuple[str, str]]) -> None:
    with fault(board):  # type: ignore[operator]
        assert board.complaints() == expected


def test_a_slot_around_all_others_is_found(board: Board) -> None:
    with overlapping(board):
        found = board.complaints()
    assert {("slot.distinct", "error"), ("slot.in-use", "error"), ("state.place", "error")} <= found

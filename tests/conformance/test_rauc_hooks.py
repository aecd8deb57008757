"""What hooks and handlers are told by us and by ``rauc install``: the same bundle, the same slots, each difference named."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pki.build import shared_pki
from support.programs import Device, device
from support.rauc_service import rauc_install

pytestmark = pytest.mark.root

# Writes its environment where the test finds it, by who has called it.
_PROGRAM = "env > {work}/$(cat {work}/who)-${{1:-handler}}.env\ncat {work}/rootfs.ext4 > /dev/null\n"
_HOOKS = """[hooks]
filename=program
hooks=install-check

[image.rootfs]
filename=rootfs.ext4
hooks=pre-install;post-install

[image.appfs]
filename=app.img
hooks=install
"""
_HANDLER = """[handler]
filename=program

[image.rootfs]
filename=rootfs.ext4

[image.appfs]
filename=app.img
"""


@dataclass(frozen=True)
class Heard:
    """The environments of one program, as rauc and as we made them; ours with the paths of rauc's mount prefix."""

    rauc: dict[str, str]
    ours: dict[str, str]

    def differences(self) -> dict[str, tuple[str | None, str | None]]:
        """Name of each variable of RAUC's that is not the same: rauc's value and ours; None where there is none."""
        names = {name for name in {*self.rauc, *self.ours} if name.startswith("RAUC_")}
        pairs = {name: (self.rauc.get(name), self.ours.get(name)) for name in names}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Device]:
    with device(tmp_path) as made:
        yield made


def heard(board: Device, groups: str, *, checks: bool = True) -> dict[str, Heard]:
    """Installs with both, and returns what the programs were told, by their first argument."""
    work = board.directory
    bundle = board.bundle("b", _PROGRAM.format(work=work), groups, kind="plain")
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", board.nodes["rootfs.1"]], check=True)
    (work / "who").write_text("rauc")
    rauc_install(bundle, work / "root.pem", work, board.nodes, root="ext4", system="variant-name=red")
    (work / "who").write_text("ours")
    leave = board.leave(variant="red", directory=str(work / "hooks"))
    if checks:
        assert board.check(bundle, programs=leave, variant="red").op == "checked"
    board.installed(bundle, programs=leave, variant="red")
    found = {}
    for path in work.glob("rauc-*.env"):
        theirs = environment(path)
        ours = environment(work / path.name.replace("rauc-", "ours-"))
        there = {name: value.replace(str(work / "hooks"), str(work / "mnt")) for name, value in ours.items()}
        found[path.stem.removeprefix("rauc-")] = Heard(theirs, there)
    return found


def environment(path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)


def test_hooks_are_told_what_rauc_tells_them(board: Device) -> None:
    told = heard(board, _HOOKS)
    assert sorted(told) == ["install-check", "slot-install", "slot-post-install", "slot-pre-install"]
    # RAUC tells hooks the build of the bundle since 1.12, the version of the running system after 1.15; this is 1.8.
    version = {"RAUC_SYSTEM_VERSION": (None, "1")}
    assert told["install-check"].differences() == {**version, "RAUC_MF_BUILD": (None, "42")}
    assert told["slot-pre-install"].differences() == version
    assert told["slot-post-install"].differences() == version
    assert told["slot-install"].differences() == version


def test_the_values_are_those_of_the_slot_and_the_image(board: Device) -> None:
    told = heard(board, _HOOKS)
    mounted, raw = told["slot-post-install"].ours, told["slot-install"].ours
    assert mounted["RAUC_SLOT_MOUNT_POINT"] == f"{board.directory}/mnt/rootfs.1"
    assert "RAUC_SLOT_MOUNT_POINT" not in raw
    assert (raw["RAUC_SLOT_PARENT"], raw["RAUC_SLOT_BOOTNAME"]) == ("rootfs.1", "B")
    assert raw["RAUC_SLOT_DEVICE"] == board.nodes["appfs.1"]
    assert raw["RAUC_BUNDLE_SPKI_HASHES"].count(" ") == len(shared_pki().signer("good-intermediate").intermediates) + 1


def test_a_handler_is_told_what_rauc_tells_it(board: Device) -> None:
    (told,) = heard(board, _HANDLER, checks=False).values()
    assert by_slot(told.ours) == by_slot(told.rauc)
    numbered = {name for name in told.differences() if name.rpartition("_")[2].isdecimal()}
    named = {name: pair for name, pair in told.differences().items() if name not in numbered}
    # The order of slots is that of a hash table in rauc; by_slot has compared them.
    order = {"RAUC_SLOTS", "RAUC_TARGET_SLOTS"}
    assert {name: pair for name, pair in named.items() if name not in order} == {
        "RAUC_SYSTEM_CONFIG": (f"{board.directory}/system.conf", "/etc/ota-agent/ota-agent.toml"),
        # RAUC tells handlers the transaction since 1.14, the others after 1.15; this is 1.8.
        "RAUC_SYSTEM_COMPATIBLE": (None, "demo-board"),
        "RAUC_SYSTEM_VARIANT": (None, "red"),
        "RAUC_SYSTEM_VERSION": (None, "1"),
        "RAUC_TRANSACTION_ID": (None, told.ours["RAUC_TRANSACTION_ID"]),
    }


def by_slot(told: dict[str, str]) -> dict[str, dict[str, str]]:
    """What is told about each slot, by its name; and whether it is a target."""
    found = {}
    for number in told["RAUC_SLOTS"].split():
        about = {name.removesuffix(f"_{number}"): value for name, value in told.items() if name.endswith(f"_{number}")}
        about["target"] = str(number in told["RAUC_TARGET_SLOTS"].split())
        found[about["RAUC_SLOT_NAME"]] = about
    return found


def test_beside_rauc_variables_there_is_only_what_a_program_needs(board: Device) -> None:
    """rauc hands on the whole environment of its service; ours starts clean."""
    told = heard(board, _HOOKS)["slot-install"]
    assert {name for name in told.ours if not name.startswith("RAUC_")} == {"PATH", "LANG", "PWD"}
    assert {"DBUS_SESSION_BUS_ADDRESS", "DBUS_STARTER_BUS_TYPE"} <= set(told.rauc)

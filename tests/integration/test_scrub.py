"""The scrub, with its real process, slots in files and the real rules of the boot environment."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.disks import loop
from support.pretend import Disk, Environment, context

from agent.daemon.activities.scrub import scrub, targets
from agent.daemon.children import Child, spawn
from agent.daemon.context import Context
from agent.daemon.device import Device
from agent.daemon.inbox import Inbox, Stopped
from agent.daemon.slot_status import SlotStatus
from agent.errors import ConfigError, PolicyError
from agent.installer.scrub import _scrubbed
from agent.wire import Frame
from bootloader_env.errors import BootEnvError
from slots.errors import SlotError
from slots.model import Slot, groups_of

SIZE = 3 * 1024 * 1024 + 4096
BOOTNAMES = {"A": "rootfs.0", "B": "rootfs.1", "C": "rootfs.2"}


class Bench:
    """Three slots in files with known content, of which A runs."""

    def __init__(self, directory: Path, spawn: Callable[[str], Child] = spawn) -> None:
        self.disk, self.environment, self.told = Disk(), Environment(), []
        self.files = {name: directory / f"{name}.img" for name in BOOTNAMES}
        statuses = {}
        for name, path in self.files.items():
            path.write_bytes(hashlib.sha256(name.encode()).digest() * (SIZE // 32) + b"rest")
            digest = hashlib.sha256(path.read_bytes()[:SIZE]).hexdigest()
            statuses[BOOTNAMES[name]] = SlotStatus("ok", bundle_version="2.0.0", sha256=digest, size=SIZE)
        slots = [
            Slot(BOOTNAMES[name], "rootfs", number, str(path), "raw", bootname=name)
            for number, (name, path) in enumerate(self.files.items())
        ]
        groups = groups_of(slots)
        self.device = Device("demo", "boot-1", groups, groups[0], self.environment, {}, "1.0.0")
        self.context: Context = context(
            self.disk, self.environment, device=self.device, inbox=Inbox(), tell=self.told.append
        )
        self.context = replace(self.context, spawn=spawn)
        self.context.knowledge.change_holdings(lambda now: now.with_slots(statuses))

    def damage(self, name: str, offset: int = SIZE - 1) -> None:
        with self.files[name].open("r+b") as file:
            file.seek(offset)
            file.write(b"\xee")

    def scrub(self, asked: str = "") -> Mapping[str, str]:
        scrub(self.context, asked, 1)
        number, phase, verdicts = next(each["LastScrub"] for each in reversed(self.told) if "LastScrub" in each)
        assert (number, phase) == (1, "done")
        return {slot: result for slot, result, _ in verdicts}

    def status(self, name: str) -> SlotStatus:
        return self.context.knowledge.holdings().slot(BOOTNAMES[name])


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_slots_that_hold_what_was_installed_are_in_order_and_the_running_one_is_left_alone(bench: Bench) -> None:
    bench.damage("A")
    bench.damage("B", SIZE + 1)  # behind the image
    assert bench.scrub() == {"rootfs.1": "ok", "rootfs.2": "ok"}
    assert (bench.status("B").scrubbed_result, bench.status("B").status) == ("ok", "ok")
    assert bench.status("B").scrubbed_timestamp == int(bench.context.clock.wall())
    assert bench.environment.calls == []


@pytest.mark.req("S07")
def test_a_damaged_fallback_leaves_the_boot_order_and_is_known_as_failed(bench: Bench) -> None:
    bench.damage("B")
    assert bench.scrub() == {"rootfs.1": "damaged", "rootfs.2": "ok"}
    state = bench.environment.read()
    assert (state.order, state.slots["A"].good, state.slots["B"].good) == (("A",), True, False)
    assert (bench.status("B").status, bench.status("B").scrubbed_result) == ("failed", "damaged")
    assert bench.context.knowledge.content("B").state == "bad"
    assert tuple(each["LastError"][0] for each in bench.told if "LastError" in each) == ("slot.damaged",)


def test_the_boot_order_changes_before_the_note_so_that_a_power_cut_between_them_is_safe(bench: Bench) -> None:
    bench.damage("B")
    steps: list[str] = []
    bench.disk.strike = lambda: steps.append("note")
    bench.environment.strike = lambda: steps.append("order")
    bench.scrub("B")
    assert (steps[0], steps[-1]) == ("order", "note")


@pytest.mark.req("S07")
def test_while_an_update_is_on_trial_the_way_back_is_left_alone(bench: Bench) -> None:
    bench.environment.variables["OTA_TRIAL"] = "A,7,abab"
    bench.damage("B")
    assert bench.scrub("B") == {"rootfs.1": "damaged"}
    assert bench.environment.read().slots["B"].good
    assert bench.environment.calls == []


def test_a_boot_environment_that_cannot_be_written_is_told_and_the_damage_is_known(bench: Bench) -> None:
    bench.environment.broken = BootEnvError("bootenv.io", "the storage failed")
    bench.damage("B")
    assert bench.scrub("B") == {"rootfs.1": "damaged"}
    text = bench.told[-1]["LastScrub"][2][0][2]
    assert "bootenv.io" in text
    assert bench.status("B").status == "failed"


def test_a_third_slot_that_was_chosen_to_boot_next_stays_the_choice(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.environment._rules = type(bench.environment._rules)(("A", "B", "C"), bench.environment._rules._dialect)
    bench.environment.variables |= {"BOOT_ORDER": "C A B", "BOOT_C_LEFT": "3"}
    bench.damage("B")
    bench.scrub("B")
    assert bench.environment.read().order == ("C", "A")


def test_a_slot_that_ends_too_early_is_damaged(bench: Bench) -> None:
    os.truncate(bench.files["B"], SIZE // 2)
    assert bench.scrub("B") == {"rootfs.1": "damaged"}


def test_a_passing_read_error_is_no_damage(tmp_path: Path) -> None:
    readings: list[int] = []

    def mending(kind: str) -> Child:
        readings.append(1)
        if len(readings) == 2:
            (tmp_path / "B.img").write_bytes(whole)
        return spawn(kind)

    bench = Bench(tmp_path, mending)
    whole = bench.files["B"].read_bytes()
    bench.damage("B")
    assert bench.scrub("B") == {"rootfs.1": "ok"}
    assert (len(readings), bench.environment.calls) == (2, [])


@pytest.mark.parametrize(
    "status",
    [
        SlotStatus(),
        SlotStatus("ok"),
        SlotStatus("ok", sha256="ab" * 32, size=SIZE, changed="use"),
        SlotStatus("ok", sha256="ab" * 32, size=SIZE, changed="hook"),
        SlotStatus("pending", sha256="ab" * 32, size=SIZE),
    ],
)
def test_what_cannot_be_compared_is_neither_in_order_nor_damaged(bench: Bench, status: SlotStatus) -> None:
    bench.context.knowledge.change_holdings(lambda now: now.with_slots({"rootfs.1": status}))
    assert bench.scrub("rootfs.1") == {"rootfs.1": "unknown"}
    assert (bench.status("B"), bench.environment.calls) == (status, [])


def test_a_slot_whose_device_is_gone_has_failed_to_be_read_but_is_not_condemned(bench: Bench) -> None:
    bench.files["B"].unlink()
    assert bench.scrub("B") == {"rootfs.1": "failed"}
    assert (bench.status("B").status, bench.environment.calls) == ("ok", [])


def test_a_scrubber_that_dies_is_told(tmp_path: Path) -> None:
    def dying(kind: str) -> Child:
        child = spawn(kind)
        os.kill(child.pid, 9)
        return child

    bench = Bench(tmp_path, dying)
    assert bench.scrub("B") == {"rootfs.1": "failed"}
    told = bench.told[-1]["LastScrub"][2][0][2]
    assert "[child.died]" in told or "[ipc.peer-gone]" in told  # after or before it was given its work


@pytest.mark.parametrize("how", ["install", "cancel"])
def test_what_matters_more_interrupts_a_scrub(bench: Bench, how: str) -> None:
    if how == "install":
        bench.context.inbox.install("/tmp/update.raucb")
    else:
        bench.context.inbox.cancel()
    assert bench.scrub() == {"rootfs.1": "interrupted"}


def test_a_cancel_that_comes_too_late_for_a_scrub_does_not_end_the_next_update(bench: Bench) -> None:
    nothing = SlotStatus()
    bench.context.knowledge.change_holdings(lambda now: now.with_slots({"rootfs.1": nothing, "rootfs.2": nothing}))
    bench.context.inbox.cancel()
    assert bench.scrub() == {"rootfs.1": "unknown", "rootfs.2": "unknown"}
    assert not bench.context.inbox.cancel_asked()


@pytest.mark.root
def test_a_device_that_cannot_be_opened_is_not_told_to_be_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "disk.img").write_bytes(bytes(4096))
    real = os.open
    with loop(tmp_path / "disk.img") as device:

        def forbidden(path: str, *more: int, **where: int) -> int:
            if path == device:
                raise PermissionError(errno.EPERM, "Operation not permitted", path)
            return real(path, *more, **where)

        monkeypatch.setattr(os, "open", forbidden)
        with pytest.raises(SlotError) as caught:
            _scrubbed(Silent(), Frame({"op": "scrub", "device": device, "size": 4096}))  # type: ignore[arg-type]
        monkeypatch.undo()
    assert caught.value.code == "slot.unreadable"


class Silent:
    """Nobody listens to the progress."""

    def send(self, header: Mapping[str, object]) -> None:
        pass


def test_a_daemon_that_is_stopped_does_not_wait_for_a_scrub(bench: Bench) -> None:
    bench.context.inbox.stop()
    with pytest.raises(Stopped):
        bench.scrub()


def test_progress_is_told(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.scrub("B")
    seen = [each["Progress"] for each in bench.told if "Progress" in each]
    assert seen[-1] == (0.0, "", 0)
    assert any(text == "reading slot rootfs.1 back" and done for _, text, done in seen)


def test_only_slots_that_exist_and_do_not_run_can_be_meant(bench: Bench) -> None:
    assert [slot.name for _, slot in targets(bench.device, "")] == ["rootfs.1", "rootfs.2"]
    assert [slot.name for _, slot in targets(bench.device, "C")] == ["rootfs.2"]
    for asked in ("A", "rootfs.0"):
        with pytest.raises(PolicyError) as caught:
            targets(bench.device, asked)
        assert caught.value.code == "scrub.running"
    with pytest.raises(ConfigError) as unknown:
        targets(bench.device, "D")
    assert unknown.value.code == "slot.unknown"


def test_a_slot_that_belongs_to_every_group_is_in_use_by_the_running_one(bench: Bench) -> None:
    both = Slot("boot.0", "boot", 0, str(bench.files["C"]), "raw", parent="rootfs.0")
    groups = tuple(replace(group, slots=(*group.slots, both)) for group in bench.device.groups)
    device = replace(bench.device, groups=groups, booted=groups[0])
    assert "boot.0" not in [slot.name for _, slot in targets(device, "")]


def test_slots_of_flash_are_not_read_as_if_they_were_disks(bench: Bench) -> None:
    group = bench.device.groups[1]
    ubi = replace(group, slots=(SimpleNamespace(**{n: getattr(group.root, n) for n in group.root.__slots__}),))
    ubi.slots[0].type = "ubivol"
    device = replace(bench.device, groups=(bench.device.groups[0], ubi))
    bench.context = replace(bench.context, device=device)
    assert bench.scrub("B") == {"rootfs.1": "unknown"}

"""When a boot environment is made anew, and when it is not touched."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.boot_environments import boot_env
from support.pretend import device

from agent.daemon.healing import read_or_heal
from agent.daemon.knowledge import Content, Knowledge
from agent.daemon.machine import State
from agent.daemon.memory import Memory
from agent.daemon.record import Record
from agent.daemon.store import Store
from bootloader_env.choose import open_env
from bootloader_env.errors import BootEnvError
from bootloader_env.grub import GrubStore
from bootloader_env.port import BootState

GARBAGE = [b"", b"\0" * 1024, b"# GRUB Environment Blok\nORDER=B A\n".ljust(1024, b"#"), b"x" * 5000, b"short"]


class Bench:
    """A device with GRUB whose block can be spoiled; A runs."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "grubenv"
        self.store = Store(folder / "state")
        self.knowledge = Knowledge(self.store)

    def read(self, names: tuple[str, ...] = ("A", "B")) -> BootState:
        env = open_env("grub", bootnames=names, grubenv=str(self.path), attempts=3, attempts_primary=3)
        return read_or_heal(device(env, bootnames=names), Memory(self.store), self.knowledge)

    def know(self, bootname: str, state: str) -> None:
        self.knowledge.change_holdings(lambda now: now.with_group(bootname, Content(state, "1", "ab", 0)))

    def refused(self) -> str:
        before = self.path.read_bytes() if self.path.exists() else None
        with pytest.raises(BootEnvError) as caught:
            self.read()
        assert (self.path.read_bytes() if self.path.exists() else None) == before
        return caught.value.code


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.req("S08", "T26")
@pytest.mark.parametrize("block", GARBAGE)
def test_a_garbage_block_of_a_settled_system_is_made_anew_with_the_running_slot_first(
    bench: Bench, block: bytes
) -> None:
    bench.path.write_bytes(block)
    state = bench.read()
    assert (state.order, state.primary, state.trial) == (("A", "B"), "A", "")
    assert state.slots["B"].good
    assert len(bench.path.read_bytes()) in (1024, len(block))
    assert bench.read() == state


@pytest.mark.req("S08")
def test_a_missing_block_is_not_made_because_its_file_system_may_not_be_mounted(bench: Bench) -> None:
    assert bench.refused() == "bootenv.missing"


@pytest.mark.req("S08")
@pytest.mark.parametrize(
    ("content", "good"), [("pending", False), ("bad", False), ("installed", False), ("confirmed", True)]
)
def test_only_slots_that_are_known_to_be_complete_become_bootable(bench: Bench, content: str, good: bool) -> None:
    bench.path.write_bytes(GARBAGE[1])
    bench.know("B", content)
    assert bench.read().slots["B"].good is good


@pytest.mark.req("S07", "S08")
@pytest.mark.parametrize("state", [State.ACTIVATING, State.REBOOTING, State.TRIAL, State.CONFIRMING, State.REVERTING])
def test_while_it_is_undecided_whether_the_running_slot_is_on_trial_nothing_is_touched(
    bench: Bench, state: State
) -> None:
    bench.store.save("record", Record(state=state, target="A", fallback="B").to_json())
    bench.path.write_bytes(GARBAGE[1])
    assert bench.refused() == "bootenv.invalid"


@pytest.mark.req("S07", "S08")
@pytest.mark.parametrize("state", [State.ACTIVATING, State.REBOOTING, State.TRIAL, State.CONFIRMING, State.REVERTING])
@pytest.mark.parametrize("content", ["installed", "activated"])
def test_a_device_that_came_back_from_a_trial_is_healed_without_the_slot_that_was_tried(
    bench: Bench, state: State, content: str
) -> None:
    bench.know("B", content)
    bench.store.save("record", Record(state=state, target="B", fallback="A").to_json())
    bench.path.write_bytes(GARBAGE[1])
    after = bench.read()
    assert (after.primary, after.slots["B"].good) == ("A", False)


@pytest.mark.req("S08")
@pytest.mark.parametrize("state", [State.IDLE, State.STAGING, State.REPORTING])
def test_before_and_after_the_switch_it_is_healed(bench: Bench, state: State) -> None:
    bench.store.save("record", Record(state=state, target="B", fallback="A").to_json())
    bench.path.write_bytes(GARBAGE[1])
    assert bench.read().primary == "A"


def test_a_record_that_was_lost_proves_nothing(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "state" / "record.json").write_text("{")
    bench.path.write_bytes(GARBAGE[1])
    assert bench.refused() == "bootenv.invalid"


@pytest.mark.req("S07", "S08")
@pytest.mark.parametrize("content", ["installed", "activated"])
def test_a_record_that_was_lost_proves_nothing_at_the_next_start_either(
    bench: Bench, tmp_path: Path, content: str
) -> None:
    """It is put aside by then, and the slot that runs has not been confirmed."""
    bench.know("A", content)
    (tmp_path / "state" / "record.json").write_text("{")
    bench.path.write_bytes(GARBAGE[1])
    assert [bench.refused(), bench.refused()] == ["bootenv.invalid"] * 2


@pytest.mark.req("S08")
def test_a_slot_that_was_being_written_does_not_boot_although_it_is_not_known_any_more_what_it_holds(
    bench: Bench,
) -> None:
    bench.store.save("record", Record(state=State.STAGING, target="B", fallback="A").to_json())
    bench.path.write_bytes(GARBAGE[1])
    state = bench.read()
    assert (state.primary, state.slots["B"].good) == ("A", False)


@pytest.mark.req("S08")
def test_when_the_status_of_the_slots_cannot_be_read_only_the_running_one_boots(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "state" / "slots.json").write_text("{")
    bench.path.write_bytes(GARBAGE[1])
    state = bench.read()
    assert (state.primary, state.slots["B"].good) == ("A", False)


def test_a_valid_block_is_never_made_anew(bench: Bench, tmp_path: Path) -> None:
    env = boot_env("grub", tmp_path)
    env.activate("B", fallback="A", trial="B,1,2")
    before = bench.path.read_bytes()
    assert bench.read().trial == "B,1,2"
    with pytest.raises(BootEnvError) as caught:
        GrubStore(str(bench.path)).recreate({"ORDER": "A"})
    assert caught.value.code == "bootenv.not-healed"
    assert bench.path.read_bytes() == before


def test_what_is_no_file_is_not_replaced(bench: Bench) -> None:
    bench.path.mkdir()
    with pytest.raises(BootEnvError) as caught:
        bench.read()
    assert caught.value.code == "bootenv.invalid"
    assert bench.path.is_dir()


@pytest.mark.req("S08")
def test_both_copies_of_an_environment_of_u_boot_are_never_repaired_from_nothing(tmp_path: Path) -> None:
    env = boot_env("uboot", tmp_path)
    image = tmp_path / "env.bin"
    image.write_bytes(bytes(image.stat().st_size))
    store = Store(tmp_path / "state")
    with pytest.raises(BootEnvError) as caught:
        read_or_heal(device(env), Memory(store), Knowledge(store))
    assert caught.value.code == "bootenv.invalid"
    assert image.read_bytes() == bytes(image.stat().st_size)

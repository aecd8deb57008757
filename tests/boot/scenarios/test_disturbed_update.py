"""An update in which everything happens: processes are killed, the cable is pulled, /var fills up, the power fails."""

from __future__ import annotations

import pytest

from boot.lab.device import Device
from boot.lab.kinds import KINDS
from boot.lab.ordeal import INDEX, SETTINGS, SYSTEM, UNITS, Story, endured

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(7200)]
UPDATED = {
    "uboot": {"BOOT_ORDER": "B A", "BOOT_A_LEFT": "3", "BOOT_B_LEFT": "3"},
    "grub": {
        "ORDER": "B A", "A_OK": "1", "A_TRY": "0", "A_LEFT": "3", "B_OK": "1", "B_TRY": "0", "B_LEFT": "3",
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def story(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Story:
    with Device(tmp_path_factory.mktemp(kind) / "device", KINDS[kind](), settings=SETTINGS) as device:
        device.power_on()
        return endured(device, device.bundle(SYSTEM, extra=INDEX))


def family(kind: str) -> str:
    return kind.partition("-")[0]


@pytest.mark.req("S01")
def test_an_update_in_which_everything_happened_is_confirmed_in_the_end(story: Story, kind: str) -> None:
    assert (story.version, story.holds) == (SYSTEM.version, True)
    assert story.variables == UPDATED[family(kind)]


@pytest.mark.req("S01")
def test_its_server_hears_of_no_other_end(story: Story) -> None:
    assert story.ends == ["FINISHED"]
    assert story.told[-1] == "FINISHED"


@pytest.mark.req("S08")
@pytest.mark.parametrize("process", sorted(UNITS))
def test_a_process_that_is_killed_is_followed_by_one_that_goes_on(story: Story, process: str) -> None:
    assert process in story.killed
    assert story.blows[process].after > story.blows[process].before


@pytest.mark.req("S09")
def test_a_download_goes_on_when_the_cable_is_plugged_in_again(story: Story) -> None:
    assert story.blows["cable"].found, "the connection was given up meanwhile"
    assert story.blows["cable"].after > story.blows["cable"].before


@pytest.mark.req("S08")
def test_an_update_goes_on_when_the_full_data_partition_has_room_again(story: Story) -> None:
    assert story.blows["full"].found.endswith("\n0 free"), story.blows["full"].found
    assert "state.write-failed" in story.codes
    assert story.blows["full"].after > story.blows["full"].before


@pytest.mark.req("S08")
def test_a_power_cut_in_the_download_leads_to_the_running_slot_which_goes_on(story: Story) -> None:
    assert story.blows["power"].found == "A"
    assert story.blows["power"].after > story.blows["power"].before


@pytest.mark.req("S08")
def test_power_cuts_after_the_switch_and_on_trial_cost_an_attempt_each(story: Story) -> None:
    assert story.started == ("A", "A", "B", "B")

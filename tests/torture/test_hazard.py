"""Power cuts are drawn from a seed, all the time, and more often where it matters; the console tells where the device is."""

from __future__ import annotations

from torture.hazard import KILLED, RECORDED, STANDS_STILL, Hazard
from torture.stamps import Stamps, phases

SAID = [
    (0.5, "OTA: booting slot B, attempts left: 0x2"),
    (2.0, "Starting kernel"),
    (12.0, "ota-agent[231]: trial 2.0.0"),
    (14.0, "ota-agent[231]: trial 2.0.0"),
    (15.0, "ota-agent[231]: idle"),
    (20.0, "reboot: Restarting system"),
]


def moments(hazard: Hazard, phase: str, length: float) -> list[float]:
    steps = (number / 10 for number in range(int(length * 10)))
    return [now for now in steps if hazard.due(phase, now)]


def test_the_same_seed_draws_the_same_moments_and_another_one_others():
    assert moments(Hazard(1, "uboot-fat", 5), "idle", 60.0) == moments(Hazard(1, "uboot-fat", 5), "idle", 60.0)
    assert len({tuple(moments(Hazard(seed, "uboot-fat", 5), "idle", 60.0)) for seed in range(20)}) == 20


def test_at_a_constant_rate_moments_are_all_over_the_time():
    every = sorted(moment for number in range(100) for moment in moments(Hazard(3, "uboot-fat", number), "idle", 100.0))
    assert every[0] < 2 and every[-1] > 98 and 45 < every[len(every) // 2] < 55


def test_a_second_at_the_switch_is_cut_more_often_than_one_of_the_download():
    counts = {
        phase: sum(len(moments(Hazard(3, "uboot-fat", number), phase, 20.0)) for number in range(50))
        for phase in ("activating", "staging")
    }
    assert counts["activating"] / counts["staging"] > STANDS_STILL.rates["activating"] > 3


def test_a_machine_is_killed_seldom_and_not_more_often_than_allowed():
    drawn = [Hazard(3, "uboot-fat", number) for number in range(50)]
    kills = [sum(each.kills() for _ in range(400)) for each in drawn]
    assert max(kills) == STANDS_STILL.most
    assert sum(Hazard(3, "uboot-fat", number).kills() for number in range(500)) < 50
    assert not any(Hazard(3, "uboot-fat", number, RECORDED).kills() for number in range(500))


def test_where_each_cut_is_a_kill_a_device_has_time_to_boot_in_between_and_comes_to_rest():
    drawn = [Hazard(3, "uboot-fat", number, KILLED) for number in range(200)]
    assert all(each.kills() for each in drawn for _ in range(KILLED.most))
    assert not any(each.kills() for each in drawn)
    booted = sum(not moments(Hazard(3, "uboot-fat", number, KILLED), "system", 10.0) for number in range(200))
    assert booted > 80


def test_the_console_tells_what_the_device_does():
    assert phases(SAID) == [
        (0.0, "bootloader"), (2.0, "system"), (12.0, "trial"), (15.0, "idle"), (20.0, "bootloader"),
    ]  # fmt: skip


def test_a_kernel_that_says_nothing_is_seen_by_its_modules():
    said = [(0.5, "OTA: booting slot B"), (4.0, "initrd: started"), (12.0, "ota-agent[1]: trial")]
    assert phases(said) == [(0.0, "bootloader"), (4.0, "system"), (12.0, "trial")]


def test_what_the_console_says_is_stamped_while_it_is_written(tmp_path):
    log = tmp_path / "console.log"
    log.write_bytes(b"OTA: booting slot A, attempts left: 0x2\r\n")
    with Stamps(log, lambda: 7.0) as stamps, log.open("ab") as console:
        for part in (
            b"noise\r\nOTA: boot",
            b"ing slot B, attempts left: 0x1\r\nStarting kernel ...\r\n",
            b"\r\nOTA: R did",
        ):
            console.write(part)
            console.flush()
    assert stamps.said == [(7.0, "OTA: booting slot B"), (7.0, "Starting kernel")]
    assert stamps.boots == [(7.0, "B")]
    assert stamps.phase == "system"


def test_a_machine_whose_power_is_back_is_in_its_bootloader_before_it_has_said_anything(tmp_path):
    with Stamps(tmp_path / "console.log", lambda: 7.0) as stamps:
        stamps.said += SAID[:3]
        stamps.note("OTA: the power is there")
    assert stamps.phase == "bootloader"

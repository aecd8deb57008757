"""Power cuts are drawn from a seed, over all of an update and at what matters in it; the console tells where the device is."""

from __future__ import annotations

from collections import Counter

import pytest

from torture.aims import AIMS, Aim, Seen, drawn, due
from torture.stamps import Stamps, phases

SAID = [
    (0.5, "OTA: booting slot B, attempts left: 0x2"),
    (2.0, "Starting kernel"),
    (12.0, "ota-agent[231]: trial 2.0.0"),
    (14.0, "ota-agent[231]: trial 2.0.0"),
    (15.0, "ota-agent[231]: idle"),
    (20.0, "reboot: Restarting system"),
]


def test_the_same_seed_draws_the_same_cuts_and_another_one_others():
    assert drawn(1, "uboot-fat", 5, 60.0) == drawn(1, "uboot-fat", 5, 60.0)
    assert len({tuple(drawn(seed, "uboot-fat", 5, 60.0)) for seed in range(20)}) == 20


def test_every_aim_is_drawn_and_uniform_ones_reach_from_the_beginning_to_the_end():
    every = [aim for number in range(1500) for aim in drawn(3, "uboot-fat", number, 60.0)]
    assert Counter(aim.name for aim in every).keys() == set(AIMS)
    uniform = sorted(aim.delay for aim in every if aim.name == "uniform")
    assert uniform[0] < 3 and uniform[-1] > 57 and 25 < uniform[len(uniform) // 2] < 35
    assert {len(drawn(3, "uboot-fat", number, 60.0)) for number in range(50)} == {1, 2, 3}


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("staging", Seen("inspecting", 0, False, False), Seen("staging", 0, False, False)),
        ("switch", Seen("staging", 0, False, False), Seen("activating", 0, False, False)),
        ("script", Seen("staging", 0, False, False), Seen("bootloader", 1, False, False)),
        ("trial", Seen("system", 1, False, False), Seen("system", 1, True, False)),
        ("confirming", Seen("system", 1, True, False), Seen("trial", 1, True, False)),
        ("end", Seen("reporting", 1, True, False), Seen("reporting", 1, True, True)),
    ],
)
def test_an_aim_waits_for_what_it_is_aimed_at(name, before, after):
    assert not due(Aim(name, 0.0), before)
    assert due(Aim(name, 0.0), after)
    assert due(Aim(name, 0.0), Seen("idle", 0, False, True))  # it will not come any more


def test_a_uniform_cut_waits_for_nothing():
    assert due(Aim("uniform", 0.0), Seen("idle", 0, False, False))


def test_the_console_tells_what_the_device_does():
    assert phases(SAID) == [
        (0.0, "bootloader"), (2.0, "system"), (12.0, "trial"), (15.0, "idle"), (20.0, "bootloader"),
    ]  # fmt: skip


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

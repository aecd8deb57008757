"""Which situations are booted, and what their boot is seen by."""

from __future__ import annotations

import pytest

from torture.replay import Findings, Place
from torture.sample import chosen, first_started

WHOLE, DAMAGED, HALF = (
    f"BOOT_ORDER=A | {valid} | {held}"
    for valid, held in (("11", "A:old B:new"), ("10", "A:old B:new"), ("11", "A:old B:half-written"))
)


@pytest.mark.parametrize(
    ("console", "started"),
    [
        ("OTA: uboot.env is damaged\nOTA: booting slot B, attempts left: 0x2\nOTA: booting slot A\n", "B"),
        ("OTA: no slot boots, starting the rescue system R\n", "R"),
        ("OTA: uboot.env is damaged\n", ""),
    ],
)
def test_the_slot_that_is_started_first_is_found_behind_other_words(console, started):
    assert first_started(console) == started


def test_what_is_damaged_is_booted_first_and_nothing_twice():
    found = Findings(situations={text: Place(0, 1, 0) for text in (WHOLE, HALF, DAMAGED)})
    assert [text for text, _ in chosen(found, [], 1)][2] == WHOLE
    assert [text for text, _ in chosen(found, [WHOLE, DAMAGED], 1)] == [HALF]

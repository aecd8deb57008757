"""The time for which certificates are checked never lies before what is known to have passed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.clock import built, verification_time

_MOMENT = st.integers(0, 1 << 40)


@pytest.mark.req("S05")
@given(st.floats(0, 1 << 40), _MOMENT, _MOMENT)
def test_it_is_the_newest_time_that_is_known(wall: float, signed_at: int, built_at: int) -> None:
    moment = verification_time(wall, signed_at, built_at)
    assert moment >= max(int(wall), signed_at, built_at)
    assert moment in (int(wall), signed_at, built_at)


@given(st.floats(0, 1 << 40), _MOMENT, _MOMENT, st.integers(0, 1 << 30))
def test_a_clock_that_goes_on_never_makes_it_go_back(wall: float, signed_at: int, built_at: int, more: int) -> None:
    before = verification_time(wall, signed_at, built_at)
    assert verification_time(wall + more, signed_at, built_at) >= before
    assert verification_time(wall, signed_at + more, built_at) >= before
    assert verification_time(wall, signed_at, built_at + more) >= before


def test_a_clock_set_to_the_epoch_is_lifted_to_the_build(tmp_path: Path) -> None:
    epoch = tmp_path / "clock-epoch"
    epoch.touch()
    os.utime(epoch, (1, 1_800_000_000))
    assert verification_time(12.5, 0, built(epoch)) == 1_800_000_000


def test_a_system_that_does_not_tell_when_it_was_built_sets_no_floor(tmp_path: Path) -> None:
    assert built(tmp_path / "clock-epoch") == 0

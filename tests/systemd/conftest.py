"""One layer with the agent for all tests of a process; each device has a directory of its own beside it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support.nspawn import image
from support.nspawn.device import Device

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def room() -> Iterator[Path]:
    with image.room() as directory:
        yield directory


@pytest.fixture(scope="session")
def base(room: Path) -> Path:
    return image.make_base(room / "base")


@pytest.fixture
def make_device(room: Path, base: Path) -> Iterator[Callable[..., Device]]:
    """Makes devices, see ``support.nspawn.device.Device``; they end with the test."""
    with ExitStack() as stack:

        def make(**options: Any) -> Device:
            return stack.enter_context(Device(room / f"device-{next(_numbers)}", base, **options))

        yield make


@pytest.fixture(scope="session")
def quiet(room: Path, base: Path) -> Iterator[Device]:
    """A device that is on and has nothing to do for the next hour; for tests that leave it so."""
    with Device(room / f"device-{next(_numbers)}", base, poll="01:00:00") as device:
        device.power_on()
        device.wait_for(lambda: device.server.requests("/controller/"), "the first poll")
        yield device

"""Scenarios are asked of every kind of board in ``boot.lab.kinds``; ``OTA_BOOT_KINDS`` names fewer."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from boot.lab.device import Device
from boot.lab.kinds import KINDS

_numbers = itertools.count(1)
_ASKED = os.environ.get("OTA_BOOT_KINDS", " ".join(KINDS)).split()


@pytest.fixture(scope="module", params=_ASKED)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make_device(kind: str, tmp_path: Path) -> Iterator[Callable[..., Device]]:
    """Makes devices, see ``Device``; ``board`` are options of the board. They end with the test."""
    with ExitStack() as stack:

        def make(*, board: dict[str, Any] | None = None, **options: Any) -> Device:
            directory = tmp_path / f"device-{next(_numbers)}"
            return stack.enter_context(Device(directory, KINDS[kind](**(board or {})), **options))

        yield make


@pytest.fixture(scope="module")
def device(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    """A device that is on; a test leaves it idle, in a system that is confirmed."""
    with Device(tmp_path_factory.mktemp(kind) / "device", KINDS[kind]()) as device:
        device.power_on()
        yield device

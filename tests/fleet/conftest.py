"""Fixtures of the fleet. ``HAWKBIT_SERVERS`` names the kinds of server to ask, as for ``tests/hawkbit``."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.server import KINDS, Place, place
from fleet.strikes import KINDS as BLOWS
from fleet.strikes import Kind

SERVERS = [kind for kind in os.environ.get("HAWKBIT_SERVERS", "development").split(",") if kind in KINDS]
QUICK = SERVERS == ["development"]  # one of many tests; what is left out then, `make fleet` and `make test-hawkbit` do


@pytest.fixture
def shared_memory() -> Iterator[Path]:
    """A folder in memory where there is one: a disk that really flushes would be most of the time."""
    shelf = Path("/dev/shm")
    made = Path(tempfile.mkdtemp(prefix="ota-fleet-", dir=shelf if shelf.is_dir() else None))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, shared_memory: Path) -> Iterator[Place]:
    """A running server of each kind, and the surroundings of simulated devices."""
    with place(request.param, shared_memory) as found:
        yield found


@pytest.fixture
def kinds() -> tuple[Kind, ...]:
    """The blows to try."""
    return ("kill", "lose") if QUICK else BLOWS

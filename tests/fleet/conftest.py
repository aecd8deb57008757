"""Fixtures of the fleet."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def shared_memory() -> Iterator[Path]:
    """A folder in memory where there is one: a disk that really flushes would be most of the time."""
    place = Path("/dev/shm")
    made = Path(tempfile.mkdtemp(prefix="ota-fleet-", dir=place if place.is_dir() else None))
    yield made
    shutil.rmtree(made, ignore_errors=True)

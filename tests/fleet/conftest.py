"""Fixtures of the fleet. ``HAWKBIT_SERVERS`` names the kinds of server to ask, as for ``tests/hawkbit``."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hawkbit.conftest import version_of
from hawkbit.instances import Instance, running

from fleet.server import KINDS, Place, development, place
from fleet.strikes import KINDS as BLOWS
from fleet.strikes import Kind

SERVERS = [kind for kind in os.environ.get("HAWKBIT_SERVERS", "development").split(",") if kind in KINDS]
ANCIENT = bool(SERVERS) and all(version_of(kind).startswith("0.") for kind in SERVERS)  # the short round is for them
QUICK = SERVERS == ["development"]  # one of many tests; what is left out then, `make fleet` and `make test-hawkbit` do


@pytest.fixture
def shared_memory() -> Iterator[Path]:
    """A folder in memory where there is one: a disk that really flushes would be most of the time."""
    shelf = Path("/dev/shm")
    made = Path(tempfile.mkdtemp(prefix="ota-fleet-", dir=shelf if shelf.is_dir() else None))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(params=[pytest.param(kind, marks=pytest.mark.hawkbit) for kind in SERVERS], scope="session")
def running_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """A running server of each kind."""
    folder = tmp_path_factory.mktemp(f"fleet-{request.param}")
    with development(folder) if request.param == "development" else running(request.param, folder) as instance:
        yield instance


@pytest.fixture
def server(running_server: Instance, shared_memory: Path) -> Iterator[Place]:
    """A server, and the surroundings of simulated devices."""
    with place(running_server, shared_memory) as found:
        yield found


@pytest.fixture
def kinds() -> tuple[Kind, ...]:
    """The blows to try."""
    return ("kill", "lose") if QUICK or ANCIENT else BLOWS

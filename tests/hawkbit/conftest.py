"""Every test runs on every server that makes the promise: ``HAWKBIT_SERVERS`` names them, ``features.py`` decides."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fleet.device import surroundings

from hawkbit import goosebit, java
from hawkbit.bench import Bench
from hawkbit.features import FEATURES, features_of
from hawkbit.geese import Geese
from hawkbit.instances import Instance, running
from hawkbit.lab import ENTRIES, Lab
from hawkbit.offices import GooseOffice, HawkbitOffice, Office

SERVERS = tuple(os.environ.get("HAWKBIT_SERVERS", "development").split(","))


def version_of(kind: str) -> str:
    """The version of a kind that is not ours."""
    if kind == "goosebit":
        return goosebit.VERSION
    if not kind.startswith("hawkbit-"):
        return ""
    which = kind.removeprefix("hawkbit-").upper()
    if os.environ.get(f"HAWKBIT_URL_{which}"):
        return os.environ.get(f"HAWKBIT_VERSION_{which}", "1.1.0")
    return java.find(kind).version


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each server that has all features which the test names."""
    if "instance" not in metafunc.fixturenames:
        return
    named = {name for mark in metafunc.definition.iter_markers("feature") for name in mark.args}
    unknown = named - set(FEATURES)
    if unknown:
        raise pytest.UsageError(f"{metafunc.definition.nodeid}: not in the table of features: {sorted(unknown)}")
    needed = named or {"management"}
    kinds = [kind for kind in SERVERS if needed <= features_of(kind, version_of(kind))]
    marked = [pytest.param(kind, id=kind, marks=pytest.mark.hawkbit) for kind in kinds]
    metafunc.parametrize("instance", marked, indirect=True, scope="session")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that no server is to be asked does not exist (pytest would make one that is skipped)."""
    here = Path(__file__).parent
    items[:] = [
        item
        for item in items
        if here not in item.path.parents
        or "instance" not in getattr(item, "fixturenames", ())
        or isinstance(getattr(item, "callspec", None) and item.callspec.params.get("instance"), str)  # type: ignore[attr-defined]
    ]


@pytest.fixture(scope="session")
def instance(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """A server that runs; with a small quota of entries."""
    kind: str = request.param
    quota = {"hawkbit.server.security.dos.maxStatusEntriesPerAction": str(ENTRIES)}
    if "iso-interval" in features_of(kind, version_of(kind)):
        quota["hawkbit.controller.maxPollingTime"] = "PT48H"
    options: dict[str, Any] = {"properties": quota} if kind.startswith("hawkbit-") else {}
    if kind == "development":
        options = {"sleep": "00:05:00"}
    with running(kind, tmp_path_factory.mktemp(kind), **options) as one:
        if one.server is not None:
            one.server.state.max_entries = ENTRIES
            one.server.state.config.most_polling = 48 * 3600
        yield one


@pytest.fixture
def lab(instance: Instance, tmp_path: Path) -> Lab:
    """The server and what a test needs of it."""
    return Lab(instance, tmp_path)


@pytest.fixture
def bench(lab: Lab, tmp_path: Path) -> Iterator[Bench]:
    """The server, and our own devices for it."""
    with surroundings():
        yield Bench(lab, tmp_path)


@pytest.fixture
def geese(instance: Instance, tmp_path: Path) -> Geese:
    """goosebit and what a test needs of it."""
    return Geese(instance, tmp_path)


@pytest.fixture
def office(instance: Instance, tmp_path: Path) -> Iterator[Office]:
    """The operator of any server, and devices for it."""
    with surroundings():
        if instance.goosebit is not None:
            yield GooseOffice(Geese(instance, tmp_path))
        else:
            yield HawkbitOffice(Bench(Lab(instance, tmp_path), tmp_path))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Which version was asked."""
    for kind in SERVERS:
        if version := version_of(kind):
            terminalreporter.write_line(f"{kind} {version}: asked")

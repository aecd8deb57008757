"""Builds are only made when ``OE_ROOT`` names the checkouts to make them with: without it these tests do not exist."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from layer.builds.products import Products
from layer.oe.lab import Lab
from layer.paths import MACHINES

collect_ignore_glob = [] if os.environ.get("OE_ROOT") else ["test_*.py"]


@pytest.fixture(scope="session")
def lab() -> Lab:
    """The release that is asked for."""
    return Lab.asked()


@pytest.fixture(scope="session")
def tree(lab: Lab) -> Path:
    """The sources as they are."""
    return lab.tree()


@pytest.fixture(scope="session", params=os.environ.get("OE_MACHINES", " ".join(MACHINES)).split())
def products(
    request: pytest.FixtureRequest, lab: Lab, tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> Products:
    """Packages, disk and bundle of a machine."""
    return Products.built(lab, request.param, tree, tmp_path_factory.mktemp(request.param))

"""For the tests of the development server, each of which starts its own as the fixture ``server``."""

from __future__ import annotations

import pytest
from support.ddi import Device
from support.management import Management

from agent.demo.server import DevServer


@pytest.fixture
def device(server: DevServer) -> Device:
    """``dev1``, which speaks DDI by hand."""
    return Device(server)


@pytest.fixture
def office(server: DevServer) -> Management:
    """The operator."""
    return Management(server.url, "admin", "pw")

"""For the tests of the development server, each of which starts its own as the fixture ``server``.

What speaks HTTP is imported when a test asks for it: the tests of bundles in this folder also run with a few libraries only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.ddi import Device
    from support.management import Management

    from agent.demo.server import DevServer


@pytest.fixture
def device(server: DevServer) -> Device:
    """``dev1``, which speaks DDI by hand."""
    from support.ddi import Device

    return Device(server)


@pytest.fixture
def office(server: DevServer) -> Management:
    """The operator."""
    from support.management import Management

    return Management(server.url, "admin", "pw")

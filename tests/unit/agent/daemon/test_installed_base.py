"""What the server believes to be installed is compared with what runs, and corrected."""

from __future__ import annotations

import logging

import pytest
from support.ddi_wire import Own, Wire, server
from support.pretend import Disk

from agent.errors import EnvironmentFault, OtaError


@pytest.fixture
def wire() -> Wire:
    wire = Wire()
    wire.link("installedBase", "installedBase/7")
    chunk = {"part": "os", "name": "rootfs", "version": "2.0.0", "artifacts": []}
    wire.documents["/installedBase/7"] = {
        "id": "7",
        "deployment": {"download": "forced", "update": "forced", "chunks": [chunk]},
    }
    return wire


@pytest.fixture
def own() -> Own:
    return Own()


def believed(wire: Wire) -> object:
    return wire.puts("configData")[-1]["data"].get("server_believes", "nothing is said")


@pytest.mark.req("S03", "S07")
def test_after_a_fallback_the_truth_comes_back_as_an_attribute(
    wire: Wire, own: Own, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    asking = server(wire, Disk(), own)
    for _ in range(3):
        asking.poll()
    assert believed(wire) == "2.0.0 of action 7"
    assert len([record for record in caplog.records if "believes" in record.message]) == 1
    assert [path for _, path, _ in wire.sent].count("/installedBase/7") == 1, "it is read once"
    own.values["version"] = "2.0.0"
    asking.poll()
    assert believed(wire) is None, "the server is right again: the attribute is removed"


def test_an_action_that_ended_here_is_right_whatever_its_module_is_called(wire: Wire, own: Own) -> None:
    own.confirmed = "7"
    server(wire, Disk(), own).poll()
    assert believed(wire) == "nothing is said"


@pytest.mark.parametrize("status", [404, 500])
def test_a_document_that_cannot_be_read_stops_nothing(wire: Wire, own: Own, status: int) -> None:
    wire.answers["GET", "installedBase/7"] = status
    assert server(wire, Disk(), own).poll().installed is not None
    assert believed(wire) == "nothing is said"


def test_a_connection_that_breaks_while_it_is_read_leaves_it_for_the_next_poll(wire: Wire, own: Own) -> None:
    asking = server(wire, Disk(), own)
    real = wire.request

    def breaks(method: str, url: str, *arguments: object, **more: object) -> object:
        if "installedBase" in url:
            raise EnvironmentFault("net.timeout", "no answer")
        return real(method, url, *arguments, **more)  # type: ignore[arg-type]  # passed through

    wire.request = breaks  # type: ignore[method-assign,assignment]  # the moment is what matters
    asking.poll()
    wire.request = real  # type: ignore[method-assign]
    asking.poll()
    assert believed(wire) == "2.0.0 of action 7"


def puts(wire: Wire) -> list[object]:
    return wire.puts("installedBase")


def test_a_local_update_is_told_after_an_outage_and_by_the_next_daemon(own: Own) -> None:
    wire, disk = Wire(), Disk()
    wire.down = True
    first = server(wire, disk, own)
    first.installed("fw", "2.0.0")
    with pytest.raises(OtaError):
        first.poll()
    wire.down = False
    for status in (503, 200, 200):
        wire.answers["PUT", "installedBase"] = status
        server(wire, disk, own).poll()
    assert puts(wire) == [{"name": "fw", "version": "2.0.0"}] * 2


@pytest.mark.parametrize("status", [400, 404, 405])
def test_a_server_that_knows_no_such_distribution_set_is_told_once(own: Own, status: int) -> None:
    wire, disk = Wire(), Disk()
    wire.answers["PUT", "installedBase"] = status
    asking = server(wire, disk, own)
    asking.installed("fw", "2.0.0")
    for _ in range(3):
        asking.poll()
    assert len(puts(wire)) == 1


def test_what_was_not_told_in_time_and_is_wrong_by_now_is_not_told(own: Own) -> None:
    wire = Wire()
    asking = server(wire, Disk(), own)
    asking.installed("fw", "2.0.0")
    asking.installed("", "")
    asking.poll()
    assert puts(wire) == []

"""The server knows the device as it is, and a server that does not want to know stops nothing."""

from __future__ import annotations

import logging

import pytest
from support.ddi_wire import Own, Wire, server
from support.pretend import Disk

from agent.daemon.attributes import own_attributes
from agent.daemon.knowledge import Ending
from agent.hawkbit.feedback import proceeding


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def own() -> Own:
    return Own()


def told(wire: Wire) -> list[dict[str, object]]:
    return [body["data"] for body in wire.puts("configData")]


@pytest.mark.req("S03")
def test_only_what_has_changed_is_a_reason_to_report_unasked_also_after_a_restart(wire: Wire, own: Own) -> None:
    disk = Disk()
    server(wire, disk, own).poll()
    server(wire, disk, own).poll()
    assert told(wire) == [{"version": "1.0.0"}]
    own.values["version"] = "1.1.0"
    server(wire, disk, own).poll()
    assert told(wire)[1:] == [{"version": "1.1.0"}]
    assert wire.puts("configData")[1]["mode"] == "merge"


def test_what_we_told_earlier_and_no_longer_have_is_removed_once(wire: Wire, own: Own) -> None:
    disk = Disk()
    own.values["hw"] = "C"
    server(wire, disk, own).poll()
    del own.values["hw"]
    server(wire, disk, own).poll()
    server(wire, disk, own).poll()
    assert told(wire) == [{"version": "1.0.0", "hw": "C"}, {"version": "1.0.0", "hw": None}]


def test_a_wish_is_fulfilled_at_the_address_that_the_server_links_to(wire: Wire, own: Own) -> None:
    asking = server(wire, Disk(), own)
    asking.poll()
    wire.link("configData", "elsewhere/configData")
    asking.poll()
    assert [path for method, path, _ in wire.sent if method == "PUT"] == ["/configData", "/elsewhere/configData"]


@pytest.mark.parametrize("status", [400, 404, 415, 429, 500, 503])
def test_a_refusal_stops_neither_polls_nor_feedback(wire: Wire, own: Own, status: int) -> None:
    asking = server(wire, Disk(), own)
    wire.answers["PUT", "configData"] = status
    wire.link("configData", "configData")
    asking.say(proceeding("7", "writing"))
    assert asking.poll().config_data is not None
    assert [method for method, _, _ in wire.sent] == ["POST", "GET", "PUT"]


def test_what_is_refused_as_wrong_is_said_again_only_when_it_has_changed(
    wire: Wire, own: Own, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    asking = server(wire, Disk(), own)
    wire.answers["PUT", "configData"] = 400
    wire.link("configData", "configData")
    for _ in range(5):
        asking.poll()
    assert (len(told(wire)), len(caplog.records)) == (1, 1)
    own.values["version"] = "1.1.0"
    wire.answers.clear()
    asking.poll()
    assert told(wire)[1:] == [{"version": "1.1.0"}]


def test_what_is_refused_for_now_is_said_again(wire: Wire, own: Own) -> None:
    asking = server(wire, Disk(), own)
    wire.answers["PUT", "configData"] = 503
    for _ in range(3):
        asking.poll()
    assert len(told(wire)) == 3


def test_more_attributes_than_the_server_takes_are_cut_and_the_most_important_stay(wire: Wire, own: Own) -> None:
    own.values.update({f"key{n}": "x" for n in range(200)})
    server(wire, Disk(), own).poll()
    assert len(told(wire)[0]) == 100
    assert "version" in told(wire)[0]


def of(version: str, ending: Ending, **configured: str) -> dict[str, str | None]:
    return dict(
        own_attributes(
            version=version, slot="A", compatible="board", manifest_hash="ab", ending=ending, configured=configured
        )
    )


def test_the_version_that_runs_has_the_name_that_goosebit_looks_for_as_well() -> None:
    assert [of(version, Ending())["sw_version"] for version in ("1.0.0", "1.1.0")] == ["1.0.0", "1.1.0"]


def test_how_the_last_update_ended_is_told_when_there_was_one() -> None:
    assert "last_result" not in of("1", Ending())
    assert of("1", Ending("failure", "2", "boot.fallback"))["last_result"] == "failure 2 boot.fallback"


def test_an_attribute_of_the_configuration_replaces_ours() -> None:
    assert of("1", Ending(), compatible="another", hw_revision="C").items() >= {
        ("compatible", "another"),
        ("hw_revision", "C"),
    }

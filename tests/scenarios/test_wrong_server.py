"""Somebody else answers at the server's address: nothing happens, the device says why, and goes on when it is right again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.shelf import Shelf, ask_now, offer, trust

from agent.demo.server_tls import Tls, make_tls
from agent.demo.world import World


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with trust(World(tmp_path_factory.mktemp("wrong-server") / "world", size=8, bus=True)) as world:
        world.wait_settled()
        world.wait_for(lambda: world.properties().get("ServerState") == "ok", 20, "a first answer of the server")
        yield world


def another_name(world: World, right: Tls, directory: Path) -> Tls:
    """The authority is right, the name is not: no test double needed but a server certificate for another host."""
    wrong = make_tls(directory, names=("update.example.org",))
    world_ca = world.directory / "tls" / "ca.pem"
    world_ca.write_text(right.ca_pem + wrong.ca_pem, "ascii")
    return wrong


def another_authority(_world: World, _right: Tls, directory: Path) -> Tls:
    return make_tls(directory)


def expired(world: World, right: Tls, directory: Path) -> Tls:
    wrong = make_tls(directory, days=-1, started=9)
    (world.directory / "tls" / "ca.pem").write_text(right.ca_pem + wrong.ca_pem, "ascii")
    return wrong


@pytest.mark.timeout(90)
@pytest.mark.req("S11", "T07")
@pytest.mark.parametrize(
    ("impostor", "code"),
    [
        pytest.param(another_name, "net.tls-name", id="another-name"),
        pytest.param(another_authority, "net.tls-untrusted", id="another-authority"),
        pytest.param(expired, "net.tls-expired", id="expired"),
    ],
)
def test_an_impostor_gets_nothing_and_is_named(world: World, tmp_path: Path, impostor: object, code: str) -> None:
    assert callable(impostor)
    shelf = Shelf(tmp_path / "shelf")
    version = f"{int(world.running.version.partition('.')[0]) + 1}.0.0"
    bundle = shelf.bundle(version)
    files = world.directory / "tls"
    right = Tls(files / "ca.pem", files / "server.pem", files / "server.key")
    authorities = right.ca_pem
    wrong = impostor(world, right, tmp_path / "wrong-tls")
    world.wait_settled()
    before = (world.running, world.slot_sha256("A"), world.slot_sha256("B"), world.environment())
    world.server.show_certificate(wrong.cert, wrong.key)
    requests = len(world.server.seen)

    action_id = offer(world, bundle)
    world.wait_for(lambda: world.properties().get("ServerState") == code, 30, f"the device says {code}")
    ask_now(world)
    said = world.properties()
    assert (said["State"], said["LastError"][0]) == ("idle", code)  # type: ignore[index]  # a structure
    assert said["LastError"][2], "what to do about it"  # type: ignore[index]  # as above
    assert code in world.board.log.read_text()
    assert len(world.server.seen) == requests, "not even a request, which would carry the token"
    assert [entry.type for entry in world.history(action_id)] == ["RUNNING"], "the server knows of nothing"
    assert (world.running, world.slot_sha256("A"), world.slot_sha256("B"), world.environment()) == before

    right.ca.write_text(authorities, "ascii")
    world.server.show_certificate(right.cert, right.key)
    ask_now(world)
    assert world.wait_ended(action_id) == "FINISHED", world.messages(action_id)
    assert world.running.version == version
    world.wait_for(lambda: world.properties().get("ServerState") == "ok", 20, "the server is right again")
    assert world.properties()["LastError"] == ("", "", "")

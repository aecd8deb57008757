"""Fetcher and installer that systemd starts for a connection do what children of the daemon do, and end with it."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pki.build import pem, shared_pki
from support.bundles import make_bundle, some_image
from support.frames import common
from support.server import TOKEN, Running, running_server
from support.socket_units import ENTRY, Unit, socket_unit

from agent.daemon.activated import Activated, Sockets
from agent.daemon.children import Child
from agent.daemon.inbox import Inbox
from agent.daemon.network import Network, Session
from agent.errors import EnvironmentFault
from agent.secret import Credential
from agent.wire import Channel, Frame

MIB = 1024 * 1024


def no_child(kind: str) -> Child:
    raise AssertionError(f"the {kind} is no child")


@pytest.fixture
def fetch(tmp_path: Path) -> Iterator[Unit]:
    directory = tmp_path / "credentials"
    directory.mkdir()
    (directory / "token").write_text(f"{TOKEN}\n")
    (directory / "token").chmod(0o600)
    with socket_unit(tmp_path / "fetch.sock", str(ENTRY), "fetcher", credentials=directory) as unit:
        yield unit


@pytest.fixture
def install(tmp_path: Path) -> Iterator[Unit]:
    with socket_unit(tmp_path / "install.sock", str(ENTRY), "installer") as unit:
        yield unit


def soon(condition: Callable[[], object]) -> bool:
    end = time.monotonic() + 10
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def session(running: Running, token: str | Credential) -> Session:
    return Session(running.server.url, ("TargetToken", token), running.ca_pem, "", 5, 5)


@pytest.mark.req("C15")
def test_bytes_go_from_one_unit_to_the_other_over_a_descriptor_and_the_token_is_the_fetchers_own(
    fetch: Unit, install: Unit, tmp_path: Path
) -> None:
    image = some_image(4 * MIB)
    bundle = make_bundle(tmp_path, image=image)
    (tmp_path / "root.pem").write_bytes(pem(shared_pki().root))
    slot = tmp_path / "slot.img"
    slot.write_bytes(bytes(6 * MIB))
    plan = {"name": "rootfs.1", "class": "rootfs", "index": 1, "device": str(slot), "type": "raw"}
    size = bundle.stat().st_size
    start = Sockets({"fetcher": fetch.path, "installer": install.path}, no_child)
    with running_server(tmp_path) as running, start("installer") as installer:
        _, url = running.offer(bundle)
        network = Network(start, lambda: session(running, Credential("token")), Inbox().await_one)

        def ask(op: str, **more: object) -> Frame:
            near, far = socket.socketpair()
            with network.conversation() as talk, near:
                with far:
                    talk.serve(url, size, far.fileno())
                request = {"op": op, **common(tmp_path / "root.pem", size=size, spool=str(tmp_path / "spool")), **more}
                installer.channel.send(request, fds=(near.fileno(),))
                near.close()
                while (frame := installer.receive(60)).op in ("progress", "checkpoint"):
                    pass
                return frame

        known = ask("inspect")
        assert known.op == "inspected", known.header
        done = ask("install", manifest_hash=known.text("manifest_hash"), booted=["/nowhere"], starts={}, slots=[plan])
        assert done.op == "installed", done.header
    assert slot.read_bytes()[: len(image)] == image
    assert soon(lambda: not install.instances() | fetch.instances())


def test_a_credential_that_the_fetcher_does_not_have_is_named(fetch: Unit, tmp_path: Path) -> None:
    start = Sockets({"fetcher": fetch.path}, no_child)
    with running_server(tmp_path) as running:
        network = Network(start, lambda: session(running, Credential("other")), Inbox().await_one)
        with pytest.raises(Exception, match=r"no credential other") as caught, network.conversation():
            pass
    assert caught.value.code == "config.credential-missing"  # type: ignore[attr-defined]


def test_an_installer_that_is_busy_ends_when_the_daemon_hangs_up(install: Unit) -> None:
    child = Sockets({"installer": install.path}, no_child)("installer")
    assert soon(install.instances)
    near, far = socket.socketpair()  # a fetcher that never answers
    with near, far:
        request = {"op": "inspect", **common(Path("/nowhere"), size=MIB, spool="/nowhere")}
        child.channel.send(request, fds=(near.fileno(),))
        assert far.recv(1), "the installer asks for bytes"
        child.close()
        assert soon(lambda: not install.instances())


@pytest.mark.req("T21")
def test_the_end_of_an_instance_is_the_death_of_the_child(install: Unit) -> None:
    with Sockets({"installer": install.path}, no_child)("installer") as child:
        assert soon(install.instances)
        assert child.alive()
        for pid in install.instances():
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(EnvironmentFault, match=r"child\.died"):
            child.receive(10)
        assert not child.alive()


def test_a_socket_at_which_nobody_listens_is_an_explained_failure(tmp_path: Path) -> None:
    place = tmp_path / "fetch.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(place))
    with pytest.raises(EnvironmentFault, match=r"child\.not-started"):
        Sockets({"fetcher": place}, no_child)("fetcher")


def test_without_a_socket_it_is_a_child(tmp_path: Path) -> None:
    asked: list[str] = []

    def spawn(kind: str) -> Child:
        asked.append(kind)
        ours, theirs = socket.socketpair()
        theirs.close()
        return Activated(kind, Channel(ours))

    start = Sockets({"fetcher": tmp_path / "none", "installer": None}, spawn)
    for kind in ("fetcher", "installer", "scrubber"):
        start(kind).close()
    assert asked == ["fetcher", "installer", "scrubber"]

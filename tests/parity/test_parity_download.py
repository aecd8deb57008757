"""rauc-hawkbit-updater's test_download.py, asked of ota-agent. What differs: docs/interop.md."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.parity import Device, configure, parity_device, run, words

from agent.codes import number
from agent.demo.factory import CONTROLLER
from agent.demo.server import DevServer
from agent.demo.server_faults import Fault
from agent.demo.server_http import Answer, FileAnswer, Request, Seen
from agent.demo.world import World

TRAILER = 64 * 1024  # bytes: what is read twice at most, to look at the signature again after a new start


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    with parity_device(tmp_path_factory.mktemp("download")) as device:
        yield device


def downloads(device: Device, bundle: Path) -> list[Seen]:
    return device.world.server.requests(f"/artifacts/{bundle.name}")


def offset(request: Seen) -> int:
    return int(request.headers["range"].removeprefix("bytes=").partition("-")[0])


@pytest.mark.timeout(180)
def test_download_inexistent_location(device: Device) -> None:
    """There the update fails. Here the directory for state and plain bundles is made, with its parents."""
    world = device.world
    new = world.directory / "not" / "there" / "yet"
    device.restart({"system.state-dir": str(new)})
    try:
        world.wait_settled()
        action_id = device.assign_now(device.bundle("download"))
        world.wait_for(lambda: world.server.action_status(action_id) == "FINISHED", 60, "the update ends well")
        assert new.stat().st_mode & 0o777 == 0o700
        world.wait_for(lambda: not any(new.glob("spool-*")), 20, "the bundle is gone from it again")
    finally:
        device.restart({"system.state-dir": "state"})
    world.wait_settled()
    device.says("ok")


@pytest.mark.timeout(180)
def test_download_unallowed_location(device: Device, tmp_path: Path) -> None:
    """A directory that cannot be used stops the daemon before it asks for anything; a bundle that cannot be stored there is
    told to the server, with its code.
    """
    world = device.world
    wrong = tmp_path / "device.toml"
    wrong.write_bytes(world.board.config.read_bytes())
    (tmp_path / "file").touch()
    configure(wrong, "system.state-dir", str(tmp_path / "file" / "state"))
    done = run("daemon", "--config", wrong)
    assert done.returncode == 2
    assert "the state directory cannot be used" in done.stderr
    assert "[state.directory]" in done.stderr

    bundle = device.bundle("download")
    module = world.server.upload(bundle, version="9")
    place = world.directory / "state" / f"spool-{module.artifacts[0].sha256[:32]}.raucb"
    place.mkdir()
    before = world.environment()
    last = device.ended(world.server.assign(CONTROLLER, module))
    assert last.type == "ERROR"
    assert words(last)[0].startswith("[storage.write-failed] ")
    place.rmdir()
    assert last.code == number("storage.write-failed")
    assert world.environment() == before


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.req("T22")
def test_download_too_slow(device: Device) -> None:
    """The same; a slow connection is made anew some times before the update is given up."""
    bundle = device.bundle("download")
    slow = {"server.slow-rate": 50_000, "server.slow-time": 0.3, "update.attempts": 1}
    device.restart(slow)
    device.world.server.faults.throttle(5_000)
    try:
        last = device.ended(device.assign_now(bundle))
    finally:
        device.world.server.faults.clear()
        device.restart({"server.slow-rate": 1024, "server.slow-time": 30, "update.attempts": 2})
    assert last.type == "ERROR"
    assert words(last)[0].startswith("[net.too-slow] ")
    assert last.code == number("net.too-slow")
    device.says("ok")


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.req("S09")
def test_download_partials_without_resume(device: Device) -> None:
    """There a transfer that breaks off fails unless ``resume_downloads`` is set. Here nothing needs to be set; only a server
    that cannot send parts at all is refused.
    """
    bundle = device.bundle("streaming")
    size = bundle.stat().st_size
    device.world.server.faults.drop(size // 2, path=f"{bundle.name}$")
    ended = device.ended(device.assign_now(bundle))
    assert ended.type == "FINISHED", ended.messages

    device.world.server.faults.add(Fault(ignore_range=True, times=99))
    try:
        last = device.ended(device.assign_now(device.bundle("streaming")))
    finally:
        device.world.server.faults.clear()
    assert last.type == "ERROR"
    assert words(last)[0].startswith("[net.range-unsupported] ")


@pytest.mark.timeout(180)
@pytest.mark.req("S09")
def test_download_partials_with_resume(device: Device) -> None:
    """The same; what had arrived is not asked for again."""
    bundle = device.bundle("download")
    size = bundle.stat().st_size
    device.world.server.faults.add(Fault(path=f"{bundle.name}$", times=2, drop_after=size // 3))
    ended = device.ended(device.assign_now(bundle, force="downloadonly"))
    assert ended.type == "DOWNLOADED", ended.messages
    broken = [request for request in downloads(device, bundle) if request.status == -1]
    assert broken
    offsets = [offset(request) for request in downloads(device, bundle)]
    assert size // 3 in offsets
    assert sum(request.sent for request in downloads(device, bundle)) <= size + TRAILER


@pytest.mark.timeout(180)
@pytest.mark.req("S09")
def test_download_slow_with_resume(device: Device) -> None:
    """The same: the slow connection is left, and the next one goes on where it stopped."""
    bundle = device.bundle("download")
    device.restart({"server.slow-rate": 50_000, "server.slow-time": 0.5})
    device.world.server.faults.throttle(20_000, times=2, path=f"{bundle.name}$")
    try:
        last = device.ended(device.assign_now(bundle, force="downloadonly"))
    finally:
        device.world.server.faults.clear()
        device.restart({"server.slow-rate": 1024, "server.slow-time": 30})
    assert last.type == "DOWNLOADED", last.messages
    left = [request for request in downloads(device, bundle) if request.status == -1]
    assert left
    assert offset(downloads(device, bundle)[downloads(device, bundle).index(left[-1]) + 1]) > offset(left[-1])
    device.says("ok")


@pytest.mark.timeout(180)
def test_download_only(device: Device) -> None:
    """There a digest was checked; here the whole bundle was fetched and its signature verified. Nothing is installed."""
    world = device.world
    boots, before = len(world.board.boots), (world.slot_sha256("A"), world.slot_sha256("B"), world.environment())
    bundle = device.bundle("download")
    last = device.ended(device.assign_now(bundle, force="downloadonly"))
    assert last.type == "DOWNLOADED", last.messages
    assert "was fetched and verified; it is not installed" in words(last)[0]
    assert sum(request.sent for request in downloads(device, bundle)) >= bundle.stat().st_size
    assert (len(world.board.boots), world.slot_sha256("A"), world.slot_sha256("B"), world.environment()) == (
        boots,
        *before,
    )


class Storage(DevServer):
    """Where the server sends those who want a file: it knows no tokens, and refuses whoever shows one."""

    def __init__(self, world: World, bundle: Path) -> None:
        super().__init__(cert=world.directory / "tls" / "server.pem", key=world.directory / "tls" / "server.key")
        self._bundle = bundle

    def answer(self, request: Request, *_: object) -> Answer | FileAnswer:
        if request.header("authorization"):
            return Answer(401)
        return FileAnswer(self._bundle, self._bundle.stat().st_size, "a-tag", self._bundle.name)


@pytest.mark.timeout(180)
@pytest.mark.req("T06")
def test_download_only_with_auth_header(device: Device) -> None:
    """There a storage that refuses the token makes the update fail. Here the token never goes to another origin; only a refusal
    by the server itself counts.
    """
    world, bundle = device.world, device.bundle("download")
    with Storage(world, bundle) as storage:
        world.server.faults.redirect(f"{storage.url}/{bundle.name}", times=99, path=f"{bundle.name}$")
        try:
            last = device.ended(device.assign_now(bundle, force="downloadonly"))
        finally:
            world.server.faults.clear()
        assert storage.requests(bundle.name)
    assert last.type == "DOWNLOADED", last.messages
    assert all("authorization" in request.headers for request in downloads(device, bundle))

    bundle = device.bundle("download")
    world.server.faults.respond(401, times=99, path=f"{bundle.name}$")
    try:
        last = device.ended(device.assign_now(bundle, force="downloadonly"))
    finally:
        world.server.faults.clear()
    assert last.type == "ERROR"
    assert words(last)[0].startswith("[net.unauthorised] ")


@pytest.mark.timeout(180)
def test_download_only_without_auth_header(device: Device) -> None:
    """The same, for links that lead to the server itself."""
    world, bundle = device.world, device.bundle("download")
    device.restart({"server.download-auth": False})
    with Storage(world, bundle) as storage:
        world.server.faults.redirect(f"{storage.url}/{bundle.name}", times=99, path=f"{bundle.name}$")
        try:
            last = device.ended(device.assign_now(bundle, force="downloadonly"))
        finally:
            world.server.faults.clear()
            device.restart({"server.download-auth": True})
    assert last.type == "DOWNLOADED", last.messages
    assert downloads(device, bundle)
    assert not [request for request in downloads(device, bundle) if "authorization" in request.headers]
    device.says("ok")


@pytest.mark.timeout(180)
def test_download_speed_limit(device: Device) -> None:
    """The same."""
    bundle, limit = device.bundle("download"), 1024 * 1024
    device.restart({"server.max-rate": limit})
    began = time.monotonic()
    try:
        last = device.ended(device.assign_now(bundle, force="downloadonly"))
    finally:
        device.restart({"server.max-rate": 0})
    assert last.type == "DOWNLOADED", last.messages
    assert time.monotonic() - began >= 0.8 * bundle.stat().st_size / limit
    device.says("ok")

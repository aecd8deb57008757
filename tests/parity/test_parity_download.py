"""rauc-hawkbit-updater's test_download.py, asked of ota-agent. What differs: docs/interop.md."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.parity import Device, configure, parity_device, run, words

from agent.codes import number
from agent.demo.factory import CONTROLLER
from agent.demo.server_faults import Fault
from agent.demo.server_http import Seen

TRAILER = 64 * 1024  # bytes: what is read twice at most, to look at the signature again after a new start


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    with parity_device(tmp_path_factory.mktemp("download")) as device:
        yield device


def downloads(device: Device, bundle: Path) -> list[Seen]:
    return device.world.server.requests(f"/artifacts/{bundle.name}")


def offset(request: Seen) -> int:
    return int(request.headers["range"].removeprefix("bytes=").partition("-")[0])


@pytest.mark.timeout(120)
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


@pytest.mark.timeout(120)
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


@pytest.mark.timeout(120)
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


@pytest.mark.timeout(120)
def test_download_partials_with_resume(device: Device) -> None:
    """The same; what had arrived is not asked for again."""
    bundle = device.bundle("download")
    size = bundle.stat().st_size
    device.world.server.faults.add(Fault(path=f"{bundle.name}$", times=2, drop_after=size // 3))
    ended = device.ended(device.assign_now(bundle))
    assert ended.type == "FINISHED", ended.messages
    broken = [request for request in downloads(device, bundle) if request.status == -1]
    assert broken
    offsets = [offset(request) for request in downloads(device, bundle)]
    assert size // 3 in offsets
    assert sum(request.sent for request in downloads(device, bundle)) <= size + TRAILER

"""rauc-hawkbit-updater's test_basics.py, asked of ota-agent. What differs: docs/interop.md."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.parity import Device, accept_gateway_token, configure, parity_device, run, secret, words
from support.shelf import ask_now

import agent
from agent.codes import number
from agent.demo.factory import CONTROLLER

ATTRIBUTES = {
    "product": "Terminator",
    "model": "T-1000",
    "serialnumber": "8922673153",
    "hw_revision": "2",
    "mac_address": "ff:ff:ff:ff:ff:ff",
}
GATEWAY = "a-token-that-many-devices-share"


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    overrides = {f"server.attributes.{key}": value for key, value in ATTRIBUTES.items()}
    with parity_device(tmp_path_factory.mktemp("basics"), overrides) as device:
        yield device


@pytest.fixture
def config(device: Device, tmp_path: Path) -> Path:
    """A copy of the device's configuration, right as it is."""
    copy = tmp_path / "device.toml"
    text = device.world.board.config.read_text("utf-8")
    for name in ("run", "state", "pki", "tls", "token", "fw_env.config", "grubenv"):
        text = text.replace(f'"{name}', f'"{device.world.directory / name}')
    copy.write_text(text, "utf-8")
    assert run("config", "check", copy).returncode == 0
    return copy


def refused(config: Path, *needles: str) -> None:
    """``config check`` and the daemon both say the same and give up: starting it again would not help."""
    for command in (("config", "check", config), ("daemon", "--config", config)):
        done = run(*command)
        assert (done.returncode, done.stdout) == (2, "")
        said = done.stderr.splitlines()
        assert "[config.invalid]" in done.stderr
        assert all(needle in done.stderr for needle in needles), said
        assert any("next: correct it, then try: ota-agent config check FILE" in line for line in said)


def test_version() -> None:
    """There it is ``-v``."""
    done = run("version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"ota-agent {agent.__version__}\n", "")
    assert json.loads(run("version", "--json").stdout) == {"version": agent.__version__}


def test_invalid_arg() -> None:
    """Wrong usage is 2 here, 1 there."""
    done = run("daemon", "--invalidarg")
    assert (done.returncode, done.stdout) == (2, "")
    assert "unrecognized arguments: --invalidarg" in done.stderr


def test_config_unspecified(tmp_path: Path) -> None:
    """Without ``--config`` the standard places are read; that there is nothing is told as a problem of the configuration."""
    assert not Path("/etc/ota-agent").exists(), "this machine has an ota-agent of its own"
    done = run("daemon")
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no configuration" in done.stderr
    assert "[config.missing]" in done.stderr


def test_config_file_non_existent() -> None:
    """2 here, 3 there."""
    done = run("daemon", "--config", "/nowhere/does-not-exist.toml")
    assert (done.returncode, done.stdout) == (2, "")
    assert "the configuration /nowhere/does-not-exist.toml cannot be read" in done.stderr
    assert "[config.missing]" in done.stderr


def test_config_no_auth(config: Path) -> None:
    """2 here, 4 there."""
    configure(config, "server.target-token-file", "")
    refused(config, "server.target-token-file: expected exactly one of", "gateway-token-file, client-cert, got nothing")


def test_config_multiple_token_auth_methods(config: Path) -> None:
    """2 here, 4 there; tokens are in files of their own, never in the configuration."""
    configure(config, "server.gateway-token-file", "gateway-token")
    refused(config, "server.target-token-file: expected exactly one of", "got target-token-file and gateway-token-file")


def test_config_multiple_auth_methods(config: Path) -> None:
    """2 here, 4 there."""
    configure(config, "server.client-cert", "device.pem")
    configure(config, "server.client-key", "device.key")
    refused(config, "server.target-token-file: expected exactly one of", "got target-token-file and client-cert")


def test_register_and_check_invalid_gateway_token(device: Device) -> None:
    """A daemon does not end for it: it says why, asks again later, and works as soon as the token is right."""
    world = device.world
    secret(world.directory / "gateway", "a-wrong-gateway-token\n")
    accept_gateway_token(world, GATEWAY)
    device.restart({"server.target-token-file": "", "server.gateway-token-file": "gateway"})
    try:
        refused_by_server(device, "a-wrong-gateway-token")
    finally:
        device.restart({"server.target-token-file": "token", "server.gateway-token-file": ""})
    device.says("ok")


def refused_by_server(device: Device, token: str) -> None:
    """The device says so with advice, and tells nobody the token."""
    said = device.says("net.unauthorised")
    assert said["LastError"][0] == "net.unauthorised"  # type: ignore[index]  # a structure
    assert "check the token and the controller id" in said["LastError"][2]  # type: ignore[index]  # as above
    log = device.world.board.log.read_text("utf-8")
    assert "net.unauthorised" in log
    assert token not in log


@pytest.mark.parametrize("trailing_space", ["no_trailing_space", "trailing_space"])
def test_register_and_check_valid_gateway_token(device: Device, trailing_space: str) -> None:
    """A device that the server has never seen is registered by its first question."""
    world, name = device.world, f"newcomer-{trailing_space}"
    secret(world.directory / "gateway", GATEWAY + (" \n" if trailing_space == "trailing_space" else ""))
    accept_gateway_token(world, GATEWAY)
    settings = {"server.target-token-file": "", "server.gateway-token-file": "gateway", "server.controller-id": name}
    device.restart(settings)
    try:
        device.says("ok")
        world.wait_for(lambda: world.server.target(name).attributes.get("product"), 20, "it has told its attributes")
        assert world.server.target(name).update_status == "REGISTERED"
    finally:
        own = {"server.target-token-file": "token", "server.gateway-token-file": "", "server.controller-id": CONTROLLER}
        device.restart(own)
    device.says("ok")


def test_register_and_check_invalid_auth_token(device: Device) -> None:
    """As with the gateway token; the file is read for each conversation, so nothing has to be started again."""
    world = device.world
    right = world.server.target(CONTROLLER).token
    secret(world.directory / "token", "a-wrong-auth-token\n")
    ask_now(world)
    try:
        refused_by_server(device, "a-wrong-auth-token")
    finally:
        secret(world.directory / "token", right)
        ask_now(world)
    device.says("ok")


@pytest.mark.parametrize("trailing_space", ["no_trailing_space", "trailing_space"])
def test_register_and_check_valid_auth_token(device: Device, trailing_space: str) -> None:
    """The same."""
    world = device.world
    token = world.server.target(CONTROLLER).token
    secret(world.directory / "token", token + (" \n" if trailing_space == "trailing_space" else ""))
    device.restart()
    device.says("ok")
    requests = world.server.requests(f"/controller/v1/{CONTROLLER}")
    assert requests[-1].headers["authorization"] == f"TargetToken {token}"
    assert requests[-1].status in (200, 304)


def test_register_and_check_no_download_location_no_streaming(config: Path) -> None:
    """There is no such setting: plain bundles go below ``system.state-dir``, which has a default and cannot be empty."""
    configure(config, "system.state-dir", "")
    refused(config, "system.state-dir: expected")


def test_identify(device: Device) -> None:
    """What is configured arrives as it is; beside it, what the agent knows about the system."""
    world = device.world
    world.wait_for(lambda: world.server.target(CONTROLLER).attributes, 20, "the attributes have arrived")
    held = world.server.target(CONTROLLER).attributes
    assert {key: held.get(key) for key in ATTRIBUTES} == ATTRIBUTES
    assert (held["version"], held["slot"], held["compatible"]) == ("1.0.0", "A", "ota-demo-board")
    assert held["agent_version"] == agent.__version__


@pytest.mark.parametrize("multi_object", ["chunks", "artifacts"])
def test_unsupported_multi_objects(device: Device, multi_object: str) -> None:
    """Several files are fine as long as exactly one is the bundle; of two bundles none is guessed."""
    world, server = device.world, device.world.server
    bundle = device.bundle()
    first = server.upload(bundle, filename="first.raucb", version="9")
    modules = [first]
    if multi_object == "chunks":
        modules.append(server.upload(bundle, filename="second.raucb", name="application", part="bApp", version="9"))
    else:
        server.state.add_artifact(first, bundle, "second.raucb")
    before = world.slot_sha256("A"), world.slot_sha256("B"), world.environment()
    last = device.ended(server.assign(CONTROLLER, server.state.add_set("fw", f"9-{multi_object}", modules)))
    assert last.type == "ERROR"
    assert words(last)[0].startswith("[ddi.unsupported-deployment] ")
    assert last.code == number("ddi.unsupported-deployment")
    assert not server.requests("/artifacts/"), "nothing was downloaded"
    assert (world.slot_sha256("A"), world.slot_sha256("B"), world.environment()) == before

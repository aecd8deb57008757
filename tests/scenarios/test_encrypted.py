"""Encrypted bundles through the whole chain: streamed, opened with the key of the device, or refused with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pki.build import shared_pki
from support.bundles import closed
from support.shelf import Shelf, offer, trust

from agent.codes import number
from agent.demo.world import World, sha256


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return Shelf(tmp_path_factory.mktemp("shelf"))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    certificate, key = shared_pki().signer("p384").write(tmp_path / "device")
    key.chmod(0o600)
    overrides = {"encryption.key": str(key), "encryption.cert": str(certificate)}
    with trust(World(tmp_path / "world", size=8, overrides=overrides)) as world:
        world.wait_settled()
        yield world


@pytest.mark.slow
@pytest.mark.timeout(90)
@pytest.mark.req("S01", "S02")
def test_a_bundle_for_this_device_is_streamed_decrypted_and_confirmed(world: World, shelf: Shelf) -> None:
    bundle = closed(shelf.bundle("2.0.0", format="crypt"), shared_pki().signer("rsa2048"), shared_pki().signer("p384"))
    action_id = offer(world, bundle, "2.0.0")
    assert world.wait_ended(action_id) == "FINISHED", world.messages(action_id)
    assert world.running.version == "2.0.0"
    image = shelf.image("2.0.0")
    assert world.slot_sha256(world.running.bootname, image.stat().st_size) == sha256(image)


@pytest.mark.slow
@pytest.mark.timeout(90)
@pytest.mark.req("T09")
@pytest.mark.parametrize(
    ("version", "recipient", "code"), [("3.0.0", "rsa4096", "bundle.recipient"), ("3.0.1", "", "bundle.not-encrypted")]
)
def test_a_bundle_that_is_not_closed_for_this_device_is_refused_untouched(
    world: World, shelf: Shelf, version: str, recipient: str, code: str
) -> None:
    bundle = shelf.bundle(version, format="crypt")
    before = world.environment()
    action_id = offer(world, closed(bundle, shared_pki().signer(recipient)) if recipient else bundle, version)
    assert world.wait_ended(action_id) == "ERROR"
    last = world.history(action_id)[-1]
    assert last.code == number(code)
    assert last.messages[0].startswith(f"[{code}] ")
    assert world.environment() == before

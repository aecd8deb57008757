"""A plain bundle that was verified once is verified again without reading its payload, and no less surely."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.bundles import make_bundle, shared_pki, some_image, trust_in
from support.sources import MemorySource

from agent.bundle.verify import PlainProof, VerifiedBundle, verify_bundle
from agent.errors import BundleError

IMAGE = some_image(1_000_000, seed=5)


def verified(source: MemorySource, proof: PlainProof | None = None) -> VerifiedBundle:
    source.requests.clear()
    return verify_bundle(source, trust_in(shared_pki()), shared_pki().now, proof=proof)


def volume(source: MemorySource) -> int:
    return sum(length for _, length in source.requests)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return make_bundle(tmp_path_factory.mktemp("plain"), image=IMAGE, format="plain").read_bytes()


def test_the_payload_is_read_once_for_two_verifications(data: bytes) -> None:
    source = MemorySource(data)
    first = verified(source)
    assert volume(source) >= len(data)
    second = verified(source, first.proof)
    assert volume(source) < 250_000
    assert second.manifest_hash == first.manifest_hash
    assert b"".join(second.image_file(second.manifest.images[0]).blocks()) == IMAGE


@pytest.mark.req("T19")
def test_a_file_that_changed_in_between_is_found_when_it_is_read(data: bytes) -> None:
    proof = verified(MemorySource(data)).proof
    changed = MemorySource(data[:200_000] + bytes([data[200_000] ^ 1]) + data[200_001:])
    bundle = verified(changed, proof)
    with pytest.raises(BundleError) as caught:
        b"".join(bundle.image_file(bundle.manifest.images[0]).blocks())
    assert caught.value.code == "bundle.payload-corrupt"


@pytest.mark.req("T19")
def test_the_proof_of_another_bundle_is_worth_nothing(data: bytes, tmp_path: Path) -> None:
    other = make_bundle(tmp_path, image=some_image(1_000_000, seed=6), format="plain").read_bytes()
    source = MemorySource(data[:200_000] + bytes([data[200_000] ^ 1]) + data[200_001:])
    with pytest.raises(BundleError) as caught:
        verified(source, verified(MemorySource(other)).proof)
    assert caught.value.code == "bundle.payload-corrupt"


@pytest.mark.req("T09")
def test_signer_and_time_are_checked_again_whatever_the_proof(data: bytes, tmp_path: Path) -> None:
    proof = verified(MemorySource(data)).proof
    stranger = make_bundle(tmp_path, image=IMAGE, format="plain", signer="other").read_bytes()
    with pytest.raises(BundleError):
        verified(MemorySource(stranger), proof)


def test_a_verity_bundle_needs_no_proof(tmp_path: Path) -> None:
    source = MemorySource(make_bundle(tmp_path, image=IMAGE).read_bytes())
    assert verified(source).proof is None


def test_only_a_verification_makes_a_proof(data: bytes) -> None:
    proof = verified(MemorySource(data)).proof
    assert proof
    with pytest.raises(RuntimeError):
        PlainProof(object(), proof.signed, proof.size, proof.blocks)

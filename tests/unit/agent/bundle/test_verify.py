"""Bundles that are right: what comes out, what it costs, and that nobody else can claim it."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from pki.build import shared_pki
from support.bundles import IMAGE_NAME, make_bundle, opened, some_image, trust_in
from support.sources import MemorySource
from support.tampering import flipped, parts_of

from agent.bundle.manifest import Image, Manifest
from agent.bundle.verify import VerifiedBundle, is_detached, verify_bundle
from agent.errors import BundleError

PKI = shared_pki()


@pytest.mark.parametrize("kind", ["verity", "plain"])
@pytest.mark.parametrize("compression", ["gzip", "xz", "zstd", "lz4"])
def test_a_good_bundle_gives_back_its_image(kind: str, compression: str, tmp_path: Path) -> None:
    image = some_image(500_001)
    path = make_bundle(tmp_path, version="7", image=image, format=kind, compression=compression)
    with opened(path) as source:
        bundle = verify_bundle(source, trust_in(), PKI.now)
        assert b"".join(bundle.image_file(bundle.manifest.images[0]).blocks()) == image
    assert bundle.manifest.version == "7"
    assert bundle.format == kind
    assert bundle.size == path.stat().st_size
    assert bundle.manifest.images == (Image("rootfs", None, IMAGE_NAME, hashlib.sha256(image).hexdigest(), len(image)),)


def test_the_signer_is_reported(tmp_path: Path) -> None:
    identity = PKI.signer("good-intermediate")
    with opened(make_bundle(tmp_path, signer=identity.name)) as source:
        signer = verify_bundle(source, trust_in(), PKI.now).signer
    assert signer.subject == "CN=good-intermediate,O=Test"
    assert signer.fingerprint == identity.certificate.fingerprint(hashes.SHA256()).hex()
    assert signer.not_after == identity.certificate.not_valid_after_utc
    assert signer.chain == (identity.certificate, *identity.intermediates, PKI.root)
    assert signer.signing_time is not None
    assert abs(signer.signing_time - PKI.now) < timedelta(hours=1)


@pytest.mark.req("T19")
def test_the_identity_of_a_bundle_is_the_hash_of_its_exact_manifest(tmp_path: Path) -> None:
    path = make_bundle(tmp_path)
    cms = parts_of(path).cms
    start = cms.index(b"[update]")
    length = int.from_bytes(cms[start - 2 : start], "big")  # the OCTET STRING in front of it has a two byte length
    with opened(path) as source:
        bundle = verify_bundle(source, trust_in(), PKI.now)
    assert bundle.manifest_hash == hashlib.sha256(cms[start : start + length]).hexdigest()


def test_detached_signatures_are_told_apart_without_trusting_them(tmp_path: Path) -> None:
    assert not is_detached(parts_of(make_bundle(tmp_path)).cms)
    assert is_detached(parts_of(make_bundle(tmp_path, format="plain")).cms)
    with pytest.raises(BundleError):
        is_detached(b"nothing")


@pytest.mark.req("T16")
def test_a_small_remote_bundle_opens_with_three_requests(tmp_path: Path) -> None:
    """The tail with signature, hash tree with tables, the superblock; then one request for each image."""
    image = some_image(4_000_000)
    source = MemorySource(make_bundle(tmp_path, image=image).read_bytes(), piece=16 * 1024)
    bundle = verify_bundle(source, trust_in(), PKI.now)
    assert len(source.requests) <= 3
    assert sum(length for _, length in source.requests) < 250_000
    source.requests.clear()
    assert b"".join(bundle.image_file(bundle.manifest.images[0]).blocks()) == image
    assert len(source.requests) <= 2


@pytest.mark.req("T19", "C11")
@pytest.mark.parametrize("kind", ["verity", "plain"])
def test_a_bundle_that_changes_after_the_check_is_never_installed(kind: str, tmp_path: Path) -> None:
    source = MemorySource(make_bundle(tmp_path, format=kind).read_bytes())
    bundle = verify_bundle(source, trust_in(), PKI.now)
    file = bundle.image_file(bundle.manifest.images[0])
    source.data = flipped(source.data, 200)
    with pytest.raises(BundleError) as caught:
        for _ in file.blocks():
            pass
    assert caught.value.code == "bundle.payload-corrupt"


@pytest.mark.req("T09")
def test_a_plain_payload_is_not_read_before_its_signature_is_good(tmp_path: Path) -> None:
    source = MemorySource(make_bundle(tmp_path, format="plain", signer="other").read_bytes())
    with pytest.raises(BundleError):
        verify_bundle(source, trust_in(), PKI.now)
    assert sum(length for _, length in source.requests) <= 16 * 1024


def test_the_progress_of_a_plain_check_is_told(tmp_path: Path) -> None:
    told: list[int] = []
    path = make_bundle(tmp_path, format="plain")
    with opened(path) as source:
        verify_bundle(source, trust_in(), PKI.now, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == len(parts_of(path).payload)


def test_meta_sections_arrive(tmp_path: Path) -> None:
    with opened(make_bundle(tmp_path, extra="[meta.ota]\nsecurity-epoch=3\n", image_type="raw")) as source:
        manifest = verify_bundle(source, trust_in(), PKI.now).manifest
    assert manifest.meta == {"ota": {"security-epoch": "3"}}
    assert manifest.images[0].type == "raw"


@pytest.mark.req("T09")
def test_nobody_else_can_call_a_bundle_verified(tmp_path: Path) -> None:
    with opened(make_bundle(tmp_path)) as source:
        bundle = verify_bundle(source, trust_in(), PKI.now)
    with pytest.raises(RuntimeError):
        VerifiedBundle(
            object(),
            manifest=Manifest("x"),
            manifest_hash="",
            size=0,
            signer=bundle.signer,
            encrypted=False,
            proof=None,
            payload=bundle.payload,
            files=bundle.files,
            warnings=(),
        )
    with pytest.raises(RuntimeError):
        bundle.image_file(Image("rootfs", None, IMAGE_NAME, "00" * 32, 1))

"""The payload of crypt bundles: dm-crypt's sectors, at any offset."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pki.build import shared_pki
from support.bundles import closed, make_bundle, opened, some_image, trust_in
from support.sources import MemorySource
from support.tampering import Parts, flipped, parts_of

from agent.bundle.crypt import SECTOR, DecryptedPayload, encrypt_sectors
from agent.bundle.enveloped import RecipientKey
from agent.bundle.verify import VerifiedBundle, is_detached, verify_bundle
from agent.errors import BundleError

PKI = shared_pki()
KEY = random.Random(1).randbytes(32)
PLAIN = random.Random(2).randbytes(40 * SECTOR)
SEALED = encrypt_sectors(KEY, 0, PLAIN)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_range_comes_out_plain(data: st.DataObject) -> None:
    offset = data.draw(st.integers(0, len(PLAIN)))
    length = data.draw(st.integers(0, len(PLAIN) - offset))
    assert DecryptedPayload(MemorySource(SEALED), KEY).read_at(offset, length) == PLAIN[offset : offset + length]


@pytest.mark.parametrize("sector", [0, 1, 39])
def test_a_sector_is_what_openssl_makes_of_it_with_the_initial_vector_of_dm_crypt(sector: int) -> None:
    vector = (sector * 8).to_bytes(8, "little") + bytes(8)
    argv = ["openssl", "enc", "-aes-256-cbc", "-nopad", "-K", KEY.hex(), "-iv", vector.hex()]
    part = slice(sector * SECTOR, (sector + 1) * SECTOR)
    made = subprocess.run(argv, input=PLAIN[part], capture_output=True, check=True).stdout
    assert made == SEALED[part]


def with_key(path: Path, *names: str) -> VerifiedBundle:
    keys = [RecipientKey(PKI.signer(name).key) for name in names]  # type: ignore[arg-type]
    with opened(path) as source:
        bundle = verify_bundle(source, trust_in(), PKI.now, keys=keys)
        for image in bundle.manifest.images:
            assert b"".join(bundle.image_file(image).blocks()) == some_image()
        return bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("crypt"), format="crypt")


@pytest.fixture(scope="module")
def encrypted(bundle: Path) -> Path:
    return closed(bundle, PKI.signer("good"), PKI.signer("rsa2048"))


@pytest.mark.parametrize("name", ["good", "rsa2048"])
def test_a_recipient_verifies_and_reads_the_bundle(name: str, encrypted: Path) -> None:
    bundle = with_key(encrypted, name)
    assert (bundle.format, bundle.encrypted) == ("crypt", True)


def test_nothing_of_the_image_stands_in_the_bundle_in_the_clear(bundle: Path) -> None:
    assert b"text that compresses well" not in make_bundle(bundle.parent / "z", format="crypt", image=b"x").read_bytes()
    assert parts_of(bundle).payload[:4] != b"hsqs"


def test_a_bundle_whose_key_lies_open_says_so(bundle: Path) -> None:
    assert with_key(bundle).encrypted is False


def test_a_closed_bundle_is_not_taken_for_a_plain_one(encrypted: Path) -> None:
    assert not is_detached(parts_of(encrypted).cms)


def refused(path: Path, *names: str) -> str:
    with pytest.raises(BundleError) as caught:
        with_key(path, *names)
    return caught.value.code


def test_without_a_key_it_is_said_that_one_is_needed(encrypted: Path) -> None:
    assert refused(encrypted) == "bundle.encrypted"


def test_with_a_strangers_key_it_stays_closed(encrypted: Path) -> None:
    assert refused(encrypted, "good-2") == "bundle.recipient"


@pytest.mark.req("T09")
@pytest.mark.parametrize("position", [0, 5000, -1])
def test_damage_is_found_before_anything_is_decrypted(position: int, encrypted: Path, tmp_path: Path) -> None:
    parts = parts_of(encrypted)
    wrong = tmp_path / "wrong.raucb"
    wrong.write_bytes(Parts(flipped(parts.payload, position), parts.cms).joined())
    assert refused(wrong, "good") == "bundle.payload-corrupt"


@pytest.mark.parametrize("kind", ["verity", "plain"])
def test_only_the_crypt_format_may_be_closed(kind: str, tmp_path: Path) -> None:
    path = closed(make_bundle(tmp_path, format=kind), PKI.signer("good"))
    assert refused(path, "good") == "bundle.format-mismatch"

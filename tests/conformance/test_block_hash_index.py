"""``adaptive=block-hash-index``: the file is the one that rauc makes."""

from __future__ import annotations

from pathlib import Path

import pytest
from pki.build import shared_pki
from support.bundles import IMAGE_NAME, make_bundle, make_content, opened, some_image, trust_in
from support.rauc import accepts, rauc_bundle, system_conf
from support.signing import signer_of

from agent.bundle.verify import verify_bundle
from agent.bundler.build import create
from agent.bundler.content import read_directory
from agent.errors import OtaError

PKI = shared_pki()
IMAGE = some_image(4096 * 51)
INDEX = f"{IMAGE_NAME}.block-hash-index"


def adaptive_content(folder: Path, image: bytes = IMAGE) -> Path:
    content = make_content(folder, version="1", compatible="demo-board", image=image)
    manifest = content / "manifest.raucm"
    manifest.write_text(manifest.read_text().rstrip() + "\nadaptive=block-hash-index\n[bundle]\nformat=verity\n")
    return content


def index_in(bundle: Path) -> bytes:
    with opened(bundle) as source:
        return verify_bundle(source, trust_in(PKI), PKI.now).files.open(INDEX).read(1_000_000)


@pytest.mark.req("C11")
def test_the_index_is_byte_for_byte_that_of_rauc(tmp_path: Path) -> None:
    theirs = rauc_bundle(adaptive_content(tmp_path / "theirs"), tmp_path / "theirs.raucb", PKI.signer())
    content = adaptive_content(tmp_path / "ours")
    (content / INDEX).write_bytes(b"a stale one")
    create(read_directory(content), tmp_path / "ours.raucb", signer=signer_of(PKI.signer()))
    assert index_in(tmp_path / "ours.raucb") == index_in(theirs)
    assert len(index_in(theirs)) == 51 * 32
    assert accepts(tmp_path / "ours.raucb", system_conf(tmp_path, PKI.keyring(tmp_path)), tmp_path / "out")
    assert (tmp_path / "out" / INDEX).read_bytes() == index_in(theirs)


def test_an_image_that_is_no_multiple_of_the_block_is_refused_before_any_work(tmp_path: Path) -> None:
    content = read_directory(adaptive_content(tmp_path / "content", IMAGE + b"x"))
    with pytest.raises(OtaError) as caught:
        create(content, tmp_path / "x.raucb", signer=signer_of(PKI.signer()))
    assert caught.value.code == "build.content-invalid"
    assert "whole blocks of 4096" in caught.value.details
    assert "truncate" in caught.value.resolution


def test_without_the_request_there_is_no_index(tmp_path: Path) -> None:
    with opened(make_bundle(tmp_path, image=IMAGE)) as source:
        assert INDEX not in verify_bundle(source, trust_in(PKI), PKI.now).files.listdir()

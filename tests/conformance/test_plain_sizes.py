"""The plain format ends at 2 GiB - 1: from there on, what a signature covers has depended on the size of an int.

rauc 1.8 counts the payload with an int (CVE-2026-34155, repaired in 1.15.2): a signature over the first n bytes is good for
a payload of 2^32 + n bytes. All files here are sparse, and every signature is real.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from pki.build import shared_pki
from support.handmade_cms import signed_data
from support.mutation_stock import make_stock
from support.rauc import system_conf
from support.verdicts import rauc_verdict

PKI = shared_pki()
LARGEST = (1 << 31) - 1
TOO_LARGE = (1 << 31, (1 << 31) + 1, (1 << 32) - 1, 1 << 32, (1 << 32) + 1)
HOLE = bytes(1 << 20)
TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def squashfs(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return make_stock(tmp_path_factory.mktemp("stock"), PKI).plain.payload


def digests_of(squashfs: bytes, sizes: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """SHA-256 of the file system and as many zeros as each size needs, in one pass."""
    digest, done = hashlib.sha256(squashfs), len(squashfs)
    for size in sizes:
        while done < size:
            piece = HOLE[: size - done]
            digest.update(piece)
            done += len(piece)
        yield size, digest.digest()


def sparse_bundle(path: Path, squashfs: bytes, size: int, signed: bytes) -> Path:
    """A plain bundle with a payload of ``size`` bytes, of which ``signed`` is the digest that is signed."""
    cms = signed_data(PKI.signer(), signed)
    with path.open("wb") as file:
        file.write(squashfs)
        file.truncate(size)
        file.seek(size)
        file.write(cms + len(cms).to_bytes(8, "big"))
    return path


def measured(bundle: Path, folder: Path) -> dict[str, object]:
    """What we say, how many bytes we have read, and our peak memory in MiB."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{TESTS}:{TESTS.parent}"}
    argv = [sys.executable, "-m", "support.measured_verify", str(bundle), str(PKI.keyring(folder))]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=240, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.req("T16")
def test_the_largest_plain_bundle_is_good_and_takes_no_more_memory(squashfs: bytes, tmp_path: Path) -> None:
    (_, digest), *_ = digests_of(squashfs, [LARGEST])
    bundle = sparse_bundle(tmp_path / "largest.raucb", squashfs, LARGEST, digest)
    found = measured(bundle, tmp_path)
    assert found["code"] == ""
    assert found["peak"] < 64
    assert rauc_verdict(bundle, system_conf(tmp_path, PKI.keyring(tmp_path)), tmp_path) == (0, 0)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.req("T09", "T16")
def test_larger_plain_bundles_are_refused_before_they_are_read(squashfs: bytes, tmp_path: Path) -> None:
    conf = system_conf(tmp_path, PKI.keyring(tmp_path))
    for size, digest in digests_of(squashfs, TOO_LARGE):
        bundle = sparse_bundle(tmp_path / f"{size}.raucb", squashfs, size, digest)
        found = measured(bundle, tmp_path)
        assert found["code"] == "bundle.too-large", size
        assert found["read"] < 64 * 1024, size
        assert found["peak"] < 64, size
        assert rauc_verdict(bundle, conf, tmp_path) == (1, 1), size


@pytest.mark.req("T09")
def test_a_signature_over_the_beginning_is_refused_where_rauc_1_8_accepts_it(squashfs: bytes, tmp_path: Path) -> None:
    size = (1 << 32) + len(squashfs)
    bundle = sparse_bundle(tmp_path / "beginning.raucb", squashfs, size, hashlib.sha256(squashfs).digest())
    assert rauc_verdict(bundle, system_conf(tmp_path, PKI.keyring(tmp_path)), tmp_path) == (0, 0)
    assert measured(bundle, tmp_path)["code"] == "bundle.too-large"

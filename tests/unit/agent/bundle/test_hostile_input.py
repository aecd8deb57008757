"""Inputs that once cost more than they may: each is built here, small, and named after what it did."""

from __future__ import annotations

import datetime as dt
import json
import os
import socket
import struct
import time
import tracemalloc
import zlib
from base64 import encodebytes
from collections.abc import Callable, Iterator

import pytest
import zstandard
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from fuzz.mutate import Element, parse_der
from pki.build import pem, shared_pki
from support.bundles import trust_in
from support.signing import signed
from support.squashfs_images import MemorySource
from support.zstd import ZSTD_BACKENDS

from agent.bundle import verity
from agent.bundle.cms import parse_signed_data
from agent.bundle.compression import ZSTD, decompressor
from agent.bundle.der import boundary
from agent.bundle.issuers import issued_below
from agent.bundle.keyring import load_keyring
from agent.bundle.source import RemoteSource
from agent.bundle.squashfs import SquashFS
from agent.bundle.trust import check_chain
from agent.bundle.verity import open_verity, tree_size
from agent.errors import BundleError, ConfigError
from agent.wire import Channel, WireError

pytestmark = pytest.mark.req("T16")


def cpu_seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def message() -> list[Element]:
    return parse_der(signed(b"[update]\ncompatible=x\n", shared_pki().signer("good")))


def test_a_very_long_object_identifier_costs_no_time() -> None:
    top = message()
    kind = (top[0].children or [])[0]
    kind.content = b"\x2a" + b"\x81" * 60_000 + b"\x01"  # one number of 420 000 bits
    with pytest.raises(BundleError) as caught:
        parse_signed_data(top[0].dump())
    assert caught.value.code == "bundle.signature-malformed"
    assert "object identifier" in caught.value.details


def test_too_little_memory_is_not_taken_for_a_fault_of_the_bundle() -> None:
    @boundary
    def parse() -> None:
        raise MemoryError

    with pytest.raises(MemoryError):
        parse()


def authority(name: x509.Name, key: ec.EllipticCurvePrivateKey, issuer: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(issuer, hashes.SHA256())
    )


@pytest.mark.req("T09")
def test_certificates_that_all_issue_each_other_never_reach_the_search_for_a_chain() -> None:
    name, key = (
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "same")]),
        ec.generate_private_key(ec.SECP256R1()),
    )
    circle = [authority(name, key, key) for _ in range(15)]
    leaf = authority(name, ec.generate_private_key(ec.SECP256R1()), key)
    good = shared_pki().signer("good-intermediate")
    ours = [shared_pki().root]
    assert issued_below([*circle, *good.intermediates, leaf], ours) == list(good.intermediates)

    def refused() -> None:
        with pytest.raises(BundleError) as caught:
            check_chain(trust_in(), leaf, circle, shared_pki().now)
        assert caught.value.code == "bundle.signature-untrusted"

    assert cpu_seconds(refused) < 2


def test_what_was_issued_below_an_intermediate_is_found_whatever_the_order() -> None:
    deep = shared_pki().signer("under-too-deep")
    for order in (deep.intermediates, deep.intermediates[::-1]):
        assert set(issued_below(order, [shared_pki().root])) == set(deep.intermediates)


def repeat_extension(parts: list[Element]) -> None:
    listed = (parts[-1].children or [])[0].children
    assert listed
    listed.append(listed[0])


def odd_name(parts: list[Element]) -> None:
    text = parts[5].children[0].children[0].children[1]  # type: ignore[index]  subject, first part, its text
    assert text.tag == 0x0C
    text.tag = 0x03


@pytest.mark.parametrize("change", [repeat_extension, odd_name])
def test_a_keyring_that_the_library_chokes_on_is_refused_by_its_name(tmp_path, change) -> None:
    top = parse_der(shared_pki().root.public_bytes(Encoding.DER))
    change(top[0].children[0].children)  # type: ignore[index]
    path = tmp_path / "keyring.pem"
    broken = b"-----BEGIN CERTIFICATE-----\n" + encodebytes(top[0].dump()) + b"-----END CERTIFICATE-----\n"
    path.write_bytes(pem(shared_pki().root) + broken)
    with pytest.raises(ConfigError) as caught:
        load_keyring(path)
    assert caught.value.code == "trust.keyring-invalid"
    assert str(path) in caught.value.details


def answering(answer: bytes, fds: list[int]) -> tuple[RemoteSource, Channel, socket.socket]:
    ours, theirs = socket.socketpair()
    socket.send_fds(theirs, [answer], fds) if fds else theirs.send(answer)
    channel = Channel(ours, "fetcher")
    return RemoteSource(channel, 1000), channel, theirs


@pytest.mark.parametrize("op", ["data", "error"])
def test_descriptors_from_the_fetcher_are_closed_and_refused(op: str) -> None:
    text = json.dumps({"op": op}).encode()
    answer = struct.pack(">II", len(text), 1000) + text + bytes(1000)
    sent = os.memfd_create("unwanted")
    source, channel, theirs = answering(answer, [sent, sent])
    before = len(os.listdir("/proc/self/fd"))
    try:
        with pytest.raises(WireError) as caught:
            source.read_at(0, 1000)
        assert caught.value.code == "ipc.protocol"
        assert len(os.listdir("/proc/self/fd")) == before
    finally:
        channel.close()
        theirs.close()
        os.close(sent)


WINDOW = 128 * 1024 * 1024


def wide_frame() -> bytes:
    """A small frame that does not tell its size and announces a window of 128 MiB."""
    parameters = zstandard.ZstdCompressionParameters(window_log=27, write_content_size=False)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    frame = packer.compress(b"x" * 1000) + packer.flush()
    assert zstandard.get_frame_parameters(frame).window_size == WINDOW
    return frame


@pytest.mark.parametrize("backend", ZSTD_BACKENDS)
def test_a_zstd_frame_that_announces_a_huge_window_is_refused(backend: str) -> None:
    with pytest.raises(BundleError) as caught:
        decompressor(ZSTD, backend)(wide_frame(), 131072)
    assert "memory" in caught.value.details


def packed_table(data: bytes) -> bytes:
    blocks = (zlib.compress(data[at : at + 8192], 9) for at in range(0, len(data), 8192))
    return b"".join(struct.pack("<H", len(block)) + block for block in blocks)


def crumbs(data: bytes) -> bytes:
    """A table whose blocks, but the first, hold two bytes each."""
    rest = (data[at : at + 2] for at in range(8192, len(data), 2))
    return packed_table(data[:8192]) + b"".join(struct.pack("<H", 0x8000 | len(part)) + part for part in rest)


def image_of_holes(blocks: int, stored: Callable[[bytes], bytes] = packed_table) -> bytes:
    """An image whose one file, ``f``, is holes only, in blocks of 1 MiB."""
    listing = struct.pack("<IIIHhHH", 0, 0, 1, 32, 0, 2, 0) + b"f"
    top = struct.pack("<HHHHIIIIHHI", 1, 0, 0, 0, 0, 1, 0, 2, len(listing) + 3, 0, 1)
    file = struct.pack("<HHHHIIQQQIIII", 9, 0, 0, 0, 0, 1, 96, blocks << 20, 0, 1, 0xFFFF_FFFF, 0, 0) + bytes(
        4 * blocks
    )
    inodes, directory = stored(top + file), packed_table(listing)
    place, none = 96 + len(inodes), (1 << 64) - 1
    end = place + len(directory) + 8
    head = struct.pack("<IIIIIHHHHHH", 0x7371_7368, 2, 0, 1 << 20, 0, 1, 20, 0, 1, 4, 0)
    return head + struct.pack("<QQQQQQQQ", 0, end, 0, none, 96, place, end - 4, none) + inodes + directory + bytes(8)


def test_the_largest_file_of_holes_is_opened_in_little_time_and_memory() -> None:
    image = image_of_holes(1 << 20)
    assert len(image) < 20_000
    tracemalloc.start()
    spent = cpu_seconds(lambda: next(SquashFS(MemorySource(image)).open("f").blocks()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 24 * 1024 * 1024
    assert spent < 10


def test_one_hole_more_than_the_largest_file_is_refused() -> None:
    with pytest.raises(BundleError, match="squashfs"):
        SquashFS(MemorySource(image_of_holes((1 << 20) + 1))).open("f")


def test_a_table_in_crumbs_is_refused_at_the_first() -> None:
    system = SquashFS(MemorySource(image_of_holes(1 << 18, crumbs)))
    with pytest.raises(BundleError) as caught:
        system.open("f")
    assert "2 bytes that is not the last" in caught.value.details


class Endless:
    """A source of any size whose bytes are all the same."""

    def __init__(self, size: int) -> None:
        self.size = size

    def read_at(self, _offset: int, length: int) -> bytes:
        return b"\1" * length

    def stream(self, offset: int, length: int) -> Iterator[bytes]:
        yield self.read_at(offset, length)


@pytest.mark.req("C11")
@pytest.mark.parametrize("size", [verity.KEEP_BELOW, verity.MAX_DATA])
def test_a_tree_is_held_in_memory_once(size: int) -> None:
    tracemalloc.start()
    with pytest.raises(BundleError):
        open_verity(Endless(2 * size), size, tree_size(size), b"s" * 32, b"r" * 32)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 * 1024 * 1024

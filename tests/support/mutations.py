"""Good bundles with one thing wrong, and what rauc 1.8 and we must say about each of them.

A row tells how to make the bundle, our verdict (a code, and whether it comes when the bundle is opened or when it is read),
and the exit status of ``rauc info`` and ``rauc extract``. Where only one of us accepts the bundle in the end, the row says
why. Mutations of the manifest's text are in ``manifest_mutations.py``.
"""

from __future__ import annotations

import base64
import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path

from asn1crypto import core
from pki.build import Spec

from support.bundles import IMAGE_NAME, some_image
from support.handmade_cms import signed_data
from support.mutation_stock import (
    Make,
    Mutation,
    Stock,
    accepted,
    manifest_of,
    refused,
    value_of,
    verity_over,
    with_value,
)
from support.squashfs_images import pack
from support.tampering import Parts, flipped, openssl_cms


def _payload(change: Callable[[bytes], bytes], kind: str = "verity") -> Make:
    def make(stock: Stock) -> bytes:
        parts: Parts = getattr(stock, kind)
        return Parts(change(parts.payload), parts.cms).joined()

    return make


def _whole(change: Callable[[bytes], bytes]) -> Make:
    return lambda stock: change(stock.verity.joined())


def _cms(change: Callable[[bytes], bytes]) -> Make:
    return lambda stock: Parts(stock.verity.payload, change(stock.verity.cms)).joined()


def _signed_with(*options: str, by: str = "good") -> Make:
    return lambda stock: stock.signed(stock.text, by, options=options)


def _mixed(payload: str, cms: str) -> Make:
    return lambda stock: Parts(getattr(stock, payload).payload, getattr(stock, cms).cms).joined()


def _tree_byte(stock: Stock) -> bytes:
    return Parts(flipped(stock.verity.payload, len(stock.squashfs) + 5), stock.verity.cms).joined()


def _nul_in_name(stock: Stock) -> bytes:
    stock.pki.issue("nul-in-name", Spec(common_name="good\0evil"))
    return stock.signed(stock.text, "nul-in-name")


def _odd_signing_time(stock: Stock) -> bytes:
    digest = hashlib.sha256(stock.text).digest()
    cms = signed_data(stock.pki.signer(), digest, content=stock.text, signing_time=core.UTF8String("2026"))
    return Parts(stock.verity.payload, cms).joined()


def _pem(cms: bytes) -> bytes:
    return b"-----BEGIN CMS-----\n" + base64.encodebytes(cms) + b"-----END CMS-----\n"


def _instead_of_image(*pseudo: str, link: str = "", folder: bool = False) -> Make:
    """A file system in which the name of the image stands for something else."""

    def make(stock: Stock) -> bytes:
        with tempfile.TemporaryDirectory() as scratch:
            content = Path(scratch) / "content"
            content.mkdir()
            (content / "manifest.raucm").write_bytes(stock.text)
            (content / "real.img").write_bytes(some_image(300_000))
            if link:
                (content / IMAGE_NAME).symlink_to(link)
            if folder:
                (content / IMAGE_NAME).mkdir()
            return verity_over(stock, pack(content, Path(scratch) / "squashfs", *pseudo))

    return make


def _plain_over_verity_manifest(stock: Stock) -> bytes:
    return Parts(stock.squashfs, openssl_cms(stock.squashfs, stock.pki.signer(), detached=True)).joined()


def _root_of_another(stock: Stock) -> bytes:
    root = value_of(manifest_of(stock.other), b"verity-hash")
    return stock.signed(with_value(stock.text, b"verity-hash", root))


def _changed(key: bytes, value: bytes) -> Make:
    return lambda stock: stock.signed(with_value(stock.text, key, value))


NEVER = (1, 1)  # exit status of `rauc info` and `rauc extract`
LATER = (0, 1)
ACCEPTS = (0, 0)
ABORTS = (0, 134)

NO_FLOOR = "rauc 1.8 has no floor for algorithms"
LENIENT = "rauc 1.8 takes what OpenSSL takes; we take DER of one shape only"
NOT_LOOKED_AT = "rauc 1.8 compares images with the manifest only when it installs, or not at all"

CORRUPT = "bundle.payload-corrupt"
MALFORMED = "bundle.signature-malformed"
WEAK = "bundle.signature-weak"

PAYLOAD: dict[str, Mutation] = {
    "payload byte": refused(CORRUPT, _payload(lambda data: flipped(data, 5000)), LATER, at="reading"),
    "magic byte": refused(CORRUPT, _payload(lambda data: flipped(data, 0)), LATER),
    "tree byte": refused(CORRUPT, _tree_byte, LATER),
    "tree padding byte": refused(CORRUPT, _payload(lambda data: flipped(data, -1)), LATER),
    "4 KiB before the signature": refused(CORRUPT, _payload(lambda data: data + bytes(4096)), LATER),
    "first 4 KiB cut": refused(CORRUPT, _payload(lambda data: data[4096:]), LATER),
    "signature of another payload": refused(CORRUPT, _mixed("verity", "other"), LATER),
    "root of another payload": refused(CORRUPT, _root_of_another, LATER),
    "1 byte before the signature": refused(CORRUPT, _payload(lambda data: data + b"x"), ABORTS),
    "zeros behind the file system": accepted(lambda stock: verity_over(stock, stock.squashfs, pad=1 << 20), ACCEPTS),
    "plain: payload byte": refused(CORRUPT, _payload(lambda data: flipped(data, 5000), "plain"), NEVER),
    "plain: padding byte": refused(CORRUPT, _payload(lambda data: flipped(data, -1), "plain"), NEVER),
    "plain: 4 KiB before the signature": refused(CORRUPT, _payload(lambda data: data + bytes(4096), "plain"), NEVER),
    "plain: 1 byte before the signature": refused(CORRUPT, _payload(lambda data: data + b"x", "plain"), NEVER),
    "plain: signature on a verity payload": refused(CORRUPT, _mixed("verity", "plain"), NEVER),
    "plain: the manifest says verity": refused(
        "bundle.format-mismatch", _plain_over_verity_manifest, ACCEPTS, "rauc 1.8 finds it when it mounts the bundle"
    ),
    "image is a link": refused("bundle.file-not-regular", _instead_of_image(link="real.img"), ACCEPTS, NOT_LOOKED_AT),
    "image is a folder": refused("bundle.file-not-regular", _instead_of_image(folder=True), ACCEPTS, NOT_LOOKED_AT),
    "image is a device": refused(
        "bundle.file-not-regular", _instead_of_image("-p", f"{IMAGE_NAME} b 600 0 0 8 0"), ACCEPTS, NOT_LOOKED_AT
    ),
    "image is missing": refused("bundle.file-missing", _instead_of_image(), ACCEPTS, NOT_LOOKED_AT),
    "image of another size": refused("bundle.image-size", _changed(b"size", b"300001"), ACCEPTS, NOT_LOOKED_AT),
    "image of another digest": refused(
        "bundle.image-digest", _changed(b"sha256", b"ab" * 32), ACCEPTS, NOT_LOOKED_AT, at="reading"
    ),
}

SIGNATURE: dict[str, Mutation] = {
    "size 0": refused("bundle.unsigned", _whole(lambda data: data[:-8] + bytes(8)), NEVER),
    "size of the whole file": refused(
        "bundle.trailer-invalid", _whole(lambda data: data[:-8] + len(data).to_bytes(8, "big")), NEVER
    ),
    "size of 2^64 - 1": refused("bundle.trailer-invalid", _whole(lambda data: data[:-8] + b"\xff" * 8), NEVER),
    "size little endian": refused("bundle.trailer-invalid", _whole(lambda data: data[:-8] + data[:-9:-1]), NEVER),
    "empty file": refused("bundle.truncated", lambda _: b"", NEVER),
    "7 bytes": refused("bundle.truncated", lambda _: bytes(7), NEVER),
    "more than 64 KiB": refused("bundle.trailer-invalid", _changed(b"version", b"1" * 65536), NEVER),
    "a byte": refused("bundle.signature-invalid", _cms(lambda cms: flipped(cms, -3)), NEVER),
    "manifest edited": refused(
        "bundle.signature-invalid", _cms(lambda cms: cms.replace(b"version=1", b"version=9")), NEVER
    ),
    "2 signers": refused("bundle.signers", lambda stock: stock.signed(stock.text, "good", "good-2"), NEVER),
    "no certificate": refused("bundle.signers", _signed_with("-md", "sha256", "-nocerts"), NEVER),
    "signer by key identifier": accepted(_signed_with("-md", "sha256", "-keyid"), ACCEPTS),
    "MD5": refused(WEAK, _signed_with("-md", "md5", by="rsa2048"), ACCEPTS, NO_FLOOR),
    "SHA-1": refused(WEAK, _signed_with("-md", "sha1"), ACCEPTS, NO_FLOOR),
    "SHA-224": refused(WEAK, _signed_with("-md", "sha224"), ACCEPTS, NO_FLOOR),
    "RSA-1024": refused(WEAK, _signed_with("-md", "sha256", by="rsa1024"), ACCEPTS, NO_FLOOR),
    "no signed attributes": refused(MALFORMED, _signed_with("-md", "sha256", "-noattr"), ACCEPTS, LENIENT),
    "odd content type": refused(
        MALFORMED, _signed_with("-md", "sha256", "-econtent_type", "1.2.3.4"), ACCEPTS, LENIENT
    ),
    "bytes behind it": refused("bundle.trailing-data", _cms(lambda cms: cms + bytes(16)), ACCEPTS, LENIENT),
    "BER with indefinite lengths": refused(MALFORMED, _signed_with("-md", "sha256", "-stream"), ACCEPTS, LENIENT),
    "PEM": refused(MALFORMED, _cms(_pem), NEVER),
    "NUL in the signer's name": refused(
        MALFORMED, _nul_in_name, ACCEPTS, "rauc refuses it since 1.16, and only when it compares names"
    ),
    "signing time that is a text": refused(
        MALFORMED, _odd_signing_time, ACCEPTS, "rauc looks at it only with use-bundle-signing-time"
    ),
}

ROWS = {**PAYLOAD, **{f"signature: {name}": row for name, row in SIGNATURE.items()}}

"""Every way to make a bundle wrong has a code of its own, and nothing wrong gets through."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from asn1crypto import cms as asn1
from pki.build import Pki
from support.bundles import make_bundle, opened, shared_pki, trust_in
from support.signing import signed, signed_by_another_key
from support.tampering import Parts, flipped, openssl_cms, parts_of

from agent.bundle.manifest import dump_manifest, parse_draft
from agent.bundle.verify import VerifiedBundle, verify_bundle
from agent.errors import BundleError

Make = Callable[[Parts, Pki], bytes]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bundles")
    return {kind: make_bundle(folder, format=kind) for kind in ("verity", "plain")}


def verified(path: Path, *, pki: Pki) -> VerifiedBundle:
    """Verifies and reads every byte of every image."""
    with opened(path) as source:
        bundle = verify_bundle(source, trust_in(pki), pki.now)
        for image in bundle.manifest.images:
            for _ in bundle.image_file(image).blocks():
                pass
        for _ in bundle.payload.stream(0, bundle.payload.size):
            pass
        return bundle


def manifest_of(parts: Parts) -> bytes:
    """The text of the manifest in an attached signature."""
    start = parts.cms.index(b"[update]")
    return parts.cms[start : parts.cms.index(b"\n", parts.cms.index(b"size=", parts.cms.index(b"[image."))) + 1]


def signed_by(name: str, *options: str) -> Make:
    """The same content signed by somebody else."""

    def make(parts: Parts, pki: Pki) -> bytes:
        cms = openssl_cms(manifest_of(parts), pki.signer(name), options=options or ("-md", "sha256"))
        return Parts(parts.payload, cms).joined()

    return make


def with_manifest(change: Callable[[bytes], bytes]) -> Make:
    """Another manifest, properly signed."""

    def make(parts: Parts, pki: Pki) -> bytes:
        good = pki.signer("good")
        return Parts(parts.payload, signed(change(manifest_of(parts)), good)).joined()

    return make


def claimed_by_another_key(parts: Parts, pki: Pki) -> bytes:
    """Signed with the key of one signer under the certificate of another."""
    cms = signed_by_another_key(manifest_of(parts), pki.signer("good"), pki.signer("good-2"))
    return Parts(parts.payload, cms).joined()


def two_signers(parts: Parts, pki: Pki) -> bytes:
    cms = openssl_cms(manifest_of(parts), pki.signer("good"), pki.signer("good-2"))
    return Parts(parts.payload, cms).joined()


def no_signer(parts: Parts, pki: Pki) -> bytes:
    info = asn1.ContentInfo.load(signed(manifest_of(parts), pki.signer()))
    info["content"]["signer_infos"] = []
    return Parts(parts.payload, info.dump(force=True)).joined()


def payload(change: Callable[[bytes], bytes]) -> Make:
    return lambda parts, pki: Parts(change(parts.payload), parts.cms).joined()


def whole(change: Callable[[bytes], bytes]) -> Make:
    return lambda parts, pki: change(parts.joined())


def detached_over(parts: Parts, pki: Pki) -> bytes:
    good = pki.signer("good")
    return Parts(parts.payload, signed(parts.payload, good, detached=True)).joined()


def first_size_of(parts: Parts) -> int:
    return parse_draft(manifest_of(parts)).verity_size


def flip_tree(parts: Parts, pki: Pki) -> bytes:
    return Parts(flipped(parts.payload, len(parts.payload) - first_size_of(parts) + 5), parts.cms).joined()


def verity_size_too_large(text: bytes) -> bytes:
    manifest = parse_draft(text)
    return text.replace(f"verity-size={manifest.verity_size}".encode(), b"verity-size=17592186040320")


def crypt(text: bytes) -> bytes:
    return text.replace(b"format=verity", b"format=crypt\ncrypt-key=" + b"00" * 32)


def crypt_without_key(text: bytes) -> bytes:
    return text.replace(b"format=verity", b"format=crypt")


VERITY: dict[str, tuple[str, Make]] = {
    "unsigned-squashfs": ("bundle.unsigned", lambda parts, pki: parts.payload[: -first_size_of(parts)]),
    "signature-stripped": ("bundle.unsigned", lambda parts, pki: parts.payload + bytes(8)),
    "no-signer-in-cms": ("bundle.unsigned", no_signer),
    "empty-file": ("bundle.truncated", lambda parts, pki: b""),
    "seven-bytes": ("bundle.truncated", lambda parts, pki: b"\x00" * 7),
    "only-a-length": ("bundle.truncated", lambda parts, pki: (1).to_bytes(8, "big")),
    "size-too-big": ("bundle.trailer-invalid", whole(lambda data: data[:-8] + (len(data)).to_bytes(8, "big"))),
    "size-over-cap": ("bundle.trailer-invalid", whole(lambda data: data[:-8] + (65537).to_bytes(8, "big"))),
    "size-huge": ("bundle.trailer-invalid", whole(lambda data: data[:-8] + b"\xff" * 8)),
    "size-little-endian": ("bundle.trailer-invalid", whole(lambda data: data[:-8] + data[-8:][::-1])),
    "size-one-less": ("bundle.signature-malformed", whole(lambda data: flipped(data, -1, data[-1] ^ data[-1] - 1))),
    "truncated": ("bundle.trailer-invalid", whole(lambda data: data[:-100])),
    "garbage-after-the-end": ("bundle.trailer-invalid", whole(lambda data: data + b"garbage" * 100)),
    "text-file": ("bundle.trailer-invalid", lambda parts, pki: b"<html>not found</html>" * 10),
    "bytes-after-cms": (
        "bundle.trailing-data",
        lambda parts, pki: Parts(parts.payload, parts.cms + b"\x00").joined(),
    ),
    "wrong-authority": ("bundle.signature-untrusted", signed_by("other")),
    "same-name-evil-root": ("bundle.signature-untrusted", signed_by("evil")),
    "self-signed": ("bundle.signature-untrusted", signed_by("self-signed")),
    "not-a-ca": ("bundle.signature-untrusted", signed_by("under-not-a-ca")),
    "no-constraints": ("bundle.signature-untrusted", signed_by("under-no-constraints")),
    "path-too-long": ("bundle.signature-untrusted", signed_by("under-too-deep")),
    "unknown-critical-extension": ("bundle.certificate-restricted", signed_by("unknown-critical")),
    "expired": ("bundle.certificate-expired", signed_by("expired")),
    "expired-intermediate": ("bundle.certificate-expired", signed_by("under-expired-intermediate")),
    "not-yet-valid": ("bundle.certificate-not-yet-valid", signed_by("not-yet-valid")),
    "purpose-server": ("bundle.certificate-purpose", signed_by("server")),
    "purpose-timestamp": ("bundle.certificate-purpose", signed_by("timestamp")),
    "purpose-email": ("bundle.certificate-purpose", signed_by("email")),
    "purpose-any": ("bundle.certificate-purpose", signed_by("any-purpose")),
    "purpose-none": ("bundle.certificate-purpose", signed_by("no-purpose")),
    "key-usage": ("bundle.certificate-purpose", signed_by("no-digital-signature")),
    "purpose-of-authority": ("bundle.certificate-purpose", signed_by("under-email-intermediate")),
    "md5": ("bundle.signature-weak", signed_by("rsa2048", "-md", "md5")),
    "sha1": ("bundle.signature-weak", signed_by("good", "-md", "sha1")),
    "sha224": ("bundle.signature-weak", signed_by("good", "-md", "sha224")),
    "sha3": ("bundle.signature-unsupported", signed_by("rsa2048", "-md", "sha3-256")),
    "rsa1024": ("bundle.signature-weak", signed_by("rsa1024")),
    "rsa1024-authority": ("bundle.signature-weak", signed_by("under-rsa1024-intermediate")),
    "p224": ("bundle.signature-weak", signed_by("p224")),
    "sha1-certificate": ("bundle.signature-weak", signed_by("sha1-certificate")),
    "no-signed-attributes": ("bundle.signature-malformed", signed_by("good", "-md", "sha256", "-noattr")),
    "no-certificate": ("bundle.signers", signed_by("good", "-md", "sha256", "-nocerts")),
    "other-content-type": (
        "bundle.signature-malformed",
        signed_by("good", "-md", "sha256", "-econtent_type", "1.2.3.4"),
    ),
    "two-signers": ("bundle.signers", two_signers),
    "wrong-key": ("bundle.signature-invalid", claimed_by_another_key),
    "manifest-changed": (
        "bundle.signature-invalid",
        lambda parts, pki: Parts(parts.payload, parts.cms.replace(b"version=1", b"version=9")).joined(),
    ),
    "payload-byte": ("bundle.payload-corrupt", payload(lambda data: flipped(data, 5000))),
    "first-byte": ("bundle.payload-corrupt", payload(lambda data: flipped(data, 0))),
    "tree-byte": ("bundle.payload-corrupt", flip_tree),
    "tree-padding": ("bundle.payload-corrupt", payload(lambda data: flipped(data, -1))),
    "block-before-cms": ("bundle.payload-corrupt", payload(lambda data: data + bytes(4096))),
    "byte-before-cms": ("bundle.payload-corrupt", payload(lambda data: data + b"x")),
    "first-block-cut": ("bundle.payload-corrupt", payload(lambda data: data[4096:])),
    "no-payload": ("bundle.payload-corrupt", payload(lambda data: b"")),
    "tree-larger-than-file": ("bundle.payload-corrupt", with_manifest(verity_size_too_large)),
    "crypt-but-not-encrypted": ("bundle.squashfs-invalid", with_manifest(crypt)),
    "crypt-without-key": ("bundle.manifest-invalid", with_manifest(crypt_without_key)),
    "plain-manifest-attached": (
        "bundle.format-mismatch",
        with_manifest(lambda text: b"".join(line for line in text.splitlines(True) if b"verity" not in line)),
    ),
    "unknown-key": (
        "bundle.manifest-invalid",
        with_manifest(lambda text: text.replace(b"version=1", b"verison=1")),
    ),
    "unknown-group": ("bundle.manifest-invalid", with_manifest(lambda text: text + b"[exec]\nrun=x\n")),
    "no-digest": (
        "bundle.manifest-invalid",
        with_manifest(lambda text: text[: text.index(b"sha256=")]),
    ),
    "path-in-filename": (
        "bundle.manifest-invalid",
        with_manifest(lambda text: text.replace(b"filename=", b"filename=../")),
    ),
    "missing-hook-program": (
        "bundle.file-missing",
        with_manifest(lambda text: text + b"[hooks]\nfilename=run.sh\nhooks=install-check\n"),
    ),
    "missing-handler": ("bundle.file-missing", with_manifest(lambda text: text + b"[handler]\nfilename=run.sh\n")),
    "needs-newer": (
        "bundle.needs-newer",
        with_manifest(lambda text: text.replace(b"version=1\n", b"version=1\nmin-rauc-version=99\n")),
    ),
    "artifact": (
        "bundle.artifacts-unsupported",
        with_manifest(lambda text: text + b"[image.repo/thing]\nfilename=x\n"),
    ),
    "missing-image": (
        "bundle.file-missing",
        with_manifest(lambda text: text.replace(b"filename=rootfs.img", b"filename=another.img")),
    ),
    "image-size": (
        "bundle.image-size",
        with_manifest(lambda text: text.replace(b"\nsize=300000", b"\nsize=300001")),
    ),
}


@pytest.mark.req("S04", "S05", "T09", "T16", "C11")
@pytest.mark.parametrize("case", VERITY)
def test_a_wrong_verity_bundle_is_refused_with_its_own_code(
    case: str, bundles: dict[str, Path], tmp_path: Path
) -> None:
    code, make = VERITY[case]
    pki = shared_pki()
    wrong = tmp_path / "wrong.raucb"
    wrong.write_bytes(make(parts_of(bundles["verity"]), pki))
    with pytest.raises(BundleError) as caught:
        verified(wrong, pki=pki)
    assert caught.value.code == code, str(caught.value)
    assert caught.value.brief
    assert caught.value.resolution
    assert not caught.value.brief.endswith(".")


PLAIN: dict[str, tuple[str, Make]] = {
    "payload-byte": ("bundle.payload-corrupt", payload(lambda data: flipped(data, 5000))),
    "padding-byte": ("bundle.payload-corrupt", payload(lambda data: flipped(data, -1))),
    "block-appended": ("bundle.payload-corrupt", payload(lambda data: data + bytes(4096))),
    "byte-appended": ("bundle.payload-corrupt", payload(lambda data: data + b"x")),
    "other-signer": (
        "bundle.signature-untrusted",
        lambda parts, pki: Parts(
            parts.payload, openssl_cms(parts.payload, pki.signer("other"), detached=True)
        ).joined(),
    ),
    "attached-plain-manifest": (
        "bundle.format-mismatch",
        lambda parts, pki: Parts(parts.payload, signed(b"[update]\ncompatible=x\n", pki.signer())).joined(),
    ),
    "unsigned": ("bundle.unsigned", lambda parts, pki: parts.payload),
    "signed-garbage": (
        "bundle.squashfs-invalid",
        lambda parts, pki: detached_over(Parts(b"garbage" * 1000, b""), pki),
    ),
}


@pytest.mark.req("S04", "S05", "T09", "T16", "C11")
@pytest.mark.parametrize("case", PLAIN)
def test_a_wrong_plain_bundle_is_refused_with_its_own_code(case: str, bundles: dict[str, Path], tmp_path: Path) -> None:
    code, make = PLAIN[case]
    pki = shared_pki()
    wrong = tmp_path / "wrong.raucb"
    wrong.write_bytes(make(parts_of(bundles["plain"]), pki))
    with pytest.raises(BundleError) as caught:
        verified(wrong, pki=pki)
    assert caught.value.code == code, str(caught.value)


@pytest.mark.req("T09")
def test_signatures_do_not_move_between_the_formats(bundles: dict[str, Path], tmp_path: Path) -> None:
    pki = shared_pki()
    verity, plain = parts_of(bundles["verity"]), parts_of(bundles["plain"])
    wrong = tmp_path / "wrong.raucb"
    for mixed in (Parts(verity.payload, plain.cms), Parts(plain.payload, verity.cms)):
        wrong.write_bytes(mixed.joined())
        with pytest.raises(BundleError) as caught:
            verified(wrong, pki=pki)
        assert caught.value.code == "bundle.payload-corrupt"


@pytest.mark.req("T09")
def test_a_plain_signature_over_a_verity_manifest_is_refused(bundles: dict[str, Path], tmp_path: Path) -> None:
    """The squashfs of a verity bundle says format=verity inside, whatever signature is put behind it."""
    pki = shared_pki()
    parts = parts_of(bundles["verity"])
    squashfs = parts.payload[: -first_size_of(parts)]
    wrong = tmp_path / "wrong.raucb"
    wrong.write_bytes(detached_over(Parts(squashfs, b""), pki))
    with pytest.raises(BundleError) as caught:
        verified(wrong, pki=pki)
    assert caught.value.code == "bundle.format-mismatch"


def test_the_cases_start_from_bundles_that_are_good(bundles: dict[str, Path]) -> None:
    pki = shared_pki()
    for kind, path in bundles.items():
        bundle = verified(path, pki=pki)
        assert bundle.format == kind
        assert parse_draft(dump_manifest(bundle.manifest)) == bundle.manifest
    assert manifest_of(parts_of(bundles["verity"])) == dump_manifest(verified(bundles["verity"], pki=pki).manifest)

"""The verification of a bundle: the list of obligations, in order. Nothing else makes a ``VerifiedBundle``.

1.  The trailer fits the file and the caps.                                                       ``layout.py``
2.  A signature that is encrypted opens with a key of this device; only the crypt format has one.  ``enveloped.py``
3.  The signature is one CMS SignedData of one signer that follows the policy.                     ``cms.py``
4.  The signature over the signed attributes was made by the signer's key; an attached manifest is the signed one.
5.  The signer's certificate leads to the keyring, at the given time and for the given purpose.    ``trust.py``
6.  verity, crypt: the hash tree is the one with the signed root; every block is checked when it is read. ``verity.py``
7.  plain: the digest of the whole payload is the signed one; every block read later must be the one that was digested,
    so that a file changed after the check is found. The signature was checked first, so that the right digest is known.
8.  The manifest is valid and complete, says the format that the signature has, and needs no newer agent. ``manifest.py``
9.  Every image is in the payload, with the signed size, and every program that the bundle wants to run.

What remains for the installer: the digest of each image while it is written, and everything about this device
(compatible, version floor, variant, slots, and whether programs of a bundle may run at all).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from agent.bundle import cms, verity
from agent.bundle.certificates import name_of
from agent.bundle.crypt import DecryptedPayload
from agent.bundle.enveloped import RecipientKey, is_enveloped, open_enveloped, told_recipients
from agent.bundle.keyfile import MAX_SIZE as MAX_MANIFEST
from agent.bundle.layout import CachedTail, Trailer, read_trailer
from agent.bundle.manifest import Format, Image, Manifest, parse_draft, require_complete
from agent.bundle.payload import CheckedPayload, Digests, corrupt, record
from agent.bundle.source import Source
from agent.bundle.squashfs import SquashFile, SquashFS
from agent.bundle.trust import TrustPolicy, check_chain
from agent.errors import BundleError

MANIFEST = "manifest.raucm"
MAX_PLAIN = (1 << 31) - 1  # bytes; above it RAUC before 1.15.2 checked only the beginning (CVE-2026-34155)

is_detached = cms.is_detached
_SEAL = object()


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signed a bundle.

    Args:
        subject: name in the certificate.
        fingerprint: SHA-256 of the certificate, hexadecimal.
        signing_time: when the signer says it signed; a claim, although nobody else can have changed it.
        not_after: end of the certificate's validity.
        chain: the certificates from the signer to the trusted root.
    """

    subject: str
    fingerprint: str
    signing_time: datetime | None
    not_after: datetime
    chain: tuple[x509.Certificate, ...]


class PlainProof:
    """The digests of the blocks of a plain payload, recorded while its whole digest was found to be the signed one.

    Whoever verifies the same signature again in this process need not read the payload again: each block must be the one
    that was recorded, whatever the file holds by then. Only ``verify_bundle`` makes one.
    """

    __slots__ = ("blocks", "signed", "size")

    def __init__(self, seal: object, signed: tuple[str, bytes], size: int, blocks: Digests) -> None:
        if seal is not _SEAL:
            raise RuntimeError("only verify_bundle may call a payload verified")
        self.signed = signed
        self.size = size
        self.blocks = blocks


class VerifiedBundle:
    """A bundle that passed every obligation. Only ``verify_bundle`` makes one.

    Attributes:
        manifest: what it says about itself.
        manifest_hash: SHA-256 of the exact manifest, hexadecimal: the identity of the bundle, as in RAUC.
        format: ``verity``, ``crypt`` or ``plain``.
        encrypted: its signature, and with it the manifest and the key to the payload, was encrypted for a recipient.
        size: bytes of the whole bundle.
        signer: who signed it.
        payload: the checked bytes of the squashfs; in a ``crypt`` bundle they are encrypted.
        files: the squashfs itself.
        proof: of a plain bundle, for verifying it again.
        warnings: what did not stop the verification, but was hardly meant so.
    """

    __slots__ = (
        "encrypted", "files", "format", "manifest", "manifest_hash", "payload", "proof", "signer", "size", "warnings",
    )  # fmt: skip

    def __init__(
        self,
        seal: object,
        *,
        manifest: Manifest,
        manifest_hash: str,
        size: int,
        signer: Signer,
        encrypted: bool,
        payload: CheckedPayload,
        proof: PlainProof | None,
        files: SquashFS,
        warnings: tuple[str, ...],
    ) -> None:
        if seal is not _SEAL:
            raise RuntimeError("only verify_bundle may call a bundle verified")
        self.manifest = manifest
        self.manifest_hash = manifest_hash
        self.format: Format = manifest.bundle_format
        self.size = size
        self.signer = signer
        self.encrypted = encrypted
        self.payload = payload
        self.proof = proof
        self.files = files
        self.warnings = warnings

    def image_file(self, image: Image) -> SquashFile:
        """Opens the file of an image of this bundle; its content still has to match ``image.sha256``.

        Raises:
            BundleError: ``bundle.file-missing``, ``bundle.image-size``, ``bundle.payload-corrupt``.
            RuntimeError: the image is from another manifest.
        """
        if image not in self.manifest.images:
            raise RuntimeError("the image belongs to another bundle")
        file = self.files.open(image.filename)
        if file.size != image.size:
            raise BundleError(
                "bundle.image-size",
                "an image in the bundle has another size than its manifest says",
                details=f"{image.filename} has {file.size} bytes, the manifest says {image.size}",
                resolution="build the bundle again",
            )
        return file


def verify_bundle(
    source: Source,
    trust: TrustPolicy,
    when: datetime,
    *,
    keys: Sequence[RecipientKey] = (),
    proof: PlainProof | None = None,
    progress: Callable[[int], None] | None = None,
) -> VerifiedBundle:
    """Checks a bundle against everything in the list above.

    Args:
        source: the bundle; a plain one is read as a whole, so a remote one should be stored first (``is_detached``).
        trust: whom to believe.
        when: the time at which the certificates must be valid; it needs a time zone.
        keys: what encrypted bundles may be opened with.
        proof: of an earlier verification; where it fits the signature, a plain payload is not read through again.
        progress: for plain bundles, called with the number of bytes checked so far.

    Raises:
        BundleError: the bundle is refused; the code tells which obligation failed.
    """
    trailer = read_trailer(source)  # 1
    signed, encrypted = signed_part(trailer.cms, keys)  # 2
    message = cms.parse_signed_data(signed)  # 3
    cms.check_signature(message)  # 4
    chain = check_chain(trust, message.signer, message.others, when)  # 5
    if message.content is not None:
        manifest, payload = _open_verity(CachedTail(source, trailer.tail), trailer, message.content, encrypted)  # 6, 8
        files, text = _files(manifest, payload), message.content
    elif encrypted:
        raise _format_mismatch("the signature is encrypted, but it is detached, as in the plain format")
    else:
        proof = _prove_plain(source, trailer, message, proof, progress)  # 7
        payload = CheckedPayload(source, proof.size, proof.blocks)
        files = SquashFS(payload)
        text = files.open(MANIFEST).read(MAX_MANIFEST)
        manifest = _plain_manifest(text)  # 8
    bundle = VerifiedBundle(
        _SEAL,
        manifest=manifest,
        manifest_hash=hashlib.sha256(text).hexdigest(),
        size=source.size,
        signer=_signer(message, chain),
        encrypted=encrypted,
        payload=payload,
        proof=None if message.content is not None else proof,
        files=files,
        warnings=trust.warnings(),
    )
    for image in manifest.images:
        if image.filename:
            bundle.image_file(image)  # 9
    for program in manifest.programs:
        files.open(program)  # 9
    return bundle


def UNSAFE_peek(source: Source, keys: Sequence[RecipientKey] = ()) -> tuple[Manifest, str]:  # noqa: N802  house rule: what weakens trust is loud
    """Reads the manifest and its hash without any proof that they are genuine, for showing them to a person.

    Raises:
        BundleError: there is no readable manifest.
    """
    trailer = read_trailer(source)
    message = cms.parse_signed_data(signed_part(trailer.cms, keys)[0])
    text = message.content
    if text is None:
        payload = record(source, trailer.payload_size, hashlib.sha256())
        text = SquashFS(payload).open(MANIFEST).read(MAX_MANIFEST)
    return parse_draft(text), hashlib.sha256(text).hexdigest()


def signed_part(outer: bytes, keys: Sequence[RecipientKey]) -> tuple[bytes, bool]:
    """Returns the SignedData of a bundle, and whether it had to be decrypted.

    Raises:
        BundleError: ``bundle.encrypted`` without a key, and as ``open_enveloped``.
    """
    if not is_enveloped(outer):
        return outer, False
    if not keys:
        raise BundleError(
            "bundle.encrypted",
            "the bundle is encrypted, and there is no key to open it",
            details=told_recipients(outer),
            resolution="name the private key that it was encrypted for (--key; on a device [encryption] key)",
        )
    return open_enveloped(outer, keys), True


def _files(manifest: Manifest, payload: CheckedPayload) -> SquashFS:
    if manifest.bundle_format == "crypt":
        return SquashFS(DecryptedPayload(payload, manifest.crypt_key))
    return SquashFS(payload)


def _open_verity(source: Source, trailer: Trailer, text: bytes, encrypted: bool) -> tuple[Manifest, CheckedPayload]:
    manifest = parse_draft(text)
    if manifest.bundle_format == "plain":
        raise _format_mismatch("the signature carries the manifest, but that says format=plain")
    if encrypted and manifest.bundle_format != "crypt":
        raise _format_mismatch(f"the signature is encrypted, but the manifest says format={manifest.bundle_format}")
    require_complete(manifest)
    payload = verity.open_verity(
        source,
        trailer.payload_size - manifest.verity_size,
        manifest.verity_size,
        manifest.verity_salt,
        manifest.verity_hash,
    )
    return manifest, payload


def _prove_plain(
    source: Source,
    trailer: Trailer,
    message: cms.SignedMessage,
    earlier: PlainProof | None,
    progress: Callable[[int], None] | None,
) -> PlainProof:
    if trailer.payload_size > MAX_PLAIN:
        raise BundleError(
            "bundle.too-large",
            "the bundle is too large for the plain format",
            details=f"its payload has {trailer.payload_size} bytes; at most {MAX_PLAIN} are allowed",
            resolution="build the bundle in the verity format",
        )
    signed = (message.hash_name, message.message_digest)
    if earlier is not None and (earlier.signed, earlier.size) == (signed, trailer.payload_size):
        return earlier
    total = hashlib.new(message.hash_name)
    payload = record(source, trailer.payload_size, total, progress)
    if not cms.digest_matches(message, total.digest()):
        raise corrupt(f"the {message.hash_name} of its {trailer.payload_size} bytes is not the signed one")
    return PlainProof(_SEAL, signed, trailer.payload_size, payload.digests)


def _plain_manifest(text: bytes) -> Manifest:
    manifest = parse_draft(text)
    if manifest.bundle_format != "plain":
        raise _format_mismatch(f"the signature is detached, but the manifest says format={manifest.bundle_format}")
    require_complete(manifest)
    return manifest


def _format_mismatch(details: str) -> BundleError:
    return BundleError(
        "bundle.format-mismatch",
        "the signature does not fit the format of the bundle",
        details=details,
        resolution="build the bundle again with 'ota-bundle create' or 'rauc bundle'",
    )


def _signer(message: cms.SignedMessage, chain: tuple[x509.Certificate, ...]) -> Signer:
    return Signer(
        subject=name_of(message.signer),
        fingerprint=message.signer.fingerprint(hashes.SHA256()).hex(),
        signing_time=message.signing_time,
        not_after=message.signer.not_valid_after_utc,
        chain=chain,
    )

"""What the commands of ``ota-bundle`` do; ``cli.py`` reads the arguments and prints what these return."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from agent.bundle.build import BuildError, Compression, SigningKey, Step, create
from agent.bundle.describe import bundle_facts, bundle_lines, manifest_facts, manifest_lines, megabytes
from agent.bundle.keygen import make_pki
from agent.bundle.manifest import Image
from agent.bundle.purpose import CheckPurpose, PurposeRule
from agent.bundle.source import FileSource
from agent.bundle.squashfs import SquashFile
from agent.bundle.strength import check_certificate
from agent.bundle.trust import TrustPolicy, load_keyring
from agent.bundle.verify import UNSAFE_peek, VerifiedBundle, verify_bundle
from agent.errors import BundleError, EnvironmentFault

_SOON = timedelta(days=30)  # RAUC warns in the same time before a certificate ends
_MAX_PEM = 1024 * 1024  # bytes

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a command.

    Args:
        lines: for a person.
        data: for a program, with the same facts.
        warnings: what did not stop the command, but will matter.
    """

    lines: Sequence[str]
    data: Mapping[str, object]
    warnings: Sequence[str] = field(default=())


@dataclass(frozen=True, slots=True)
class Trusting:
    """Whom to believe and when, as given on the command line."""

    keyring: str
    check_purpose: CheckPurpose
    when: datetime

    def policy(self) -> TrustPolicy:
        """Reads the keyring; raises ConfigError."""
        return load_keyring(self.keyring, self.check_purpose)


def keygen(directory: str, days: int, name: str, now: datetime) -> Report:
    """Makes a development PKI; see ``keygen.make_pki``."""
    pki = make_pki(directory, days=days, name=name, now=now)
    return Report(
        lines=[
            f"root certificate, for the keyring of devices:  {pki.root}",
            f"certificate of the CA, for --intermediate:     {pki.ca}",
            f"certificate of the signer, for --cert:         {pki.signer}",
            f"private key of the signer, for --key:          {pki.signer_key}",
            f"private key of the CA:                         {pki.ca_key}",
        ],
        data={
            "root": str(pki.root),
            "ca": str(pki.ca),
            "ca_key": str(pki.ca_key),
            "signer": str(pki.signer),
            "signer_key": str(pki.signer_key),
        },
        warnings=[
            "FOR DEVELOPMENT ONLY: the keys are plain files. Anybody who copies signer.key can update every device that "
            "trusts root.pem. Use keys in an HSM for devices that you sell"
        ],
    )


def create_bundle(
    directory: str,
    out: str,
    *,
    cert: str,
    key: str,
    intermediates: Sequence[str],
    compression: Compression,
    bundle_format: Literal["verity", "plain"],
    trusting: Trusting | None,
    now: datetime,
    step: Step,
) -> Report:
    """Makes a bundle, and verifies it when a keyring is given; raises as ``build.create`` and ``verify_bundle``."""
    certificate = _certificates(cert)[0]
    check_certificate(certificate, is_anchor=True)
    carried = [each for path in intermediates for each in _certificates(path)]
    built = create(
        directory,
        out,
        cert=certificate,
        key=_private_key(key),
        intermediates=carried,
        compression=compression,
        bundle_format=bundle_format,
        step=step,
    )
    if trusting:
        try:
            verify(out, trusting, step)
        except BaseException:
            with suppress(OSError):
                built.path.unlink()
            raise
    facts: dict[str, object] = {"bundle": str(built.path), "manifest_hash": built.manifest_hash}
    facts |= manifest_facts(built.manifest, built.size)
    lines = [f"{built.path}: {megabytes(built.size)}, signed by {certificate.subject.rfc4514_string()}"]
    return Report(lines, facts, [] if trusting else list(_doubts(certificate, now)))


def info(bundle: str, trusting: Trusting | None) -> Report:
    """Tells what a bundle says; without ``trusting`` nothing of it is known to be true."""
    with _opened(bundle) as source:
        if trusting is None:
            manifest, manifest_hash = UNSAFE_peek(source)
            facts = {"verified": False, "manifest_hash": manifest_hash, **manifest_facts(manifest, source.size)}
            warning = "NOT VERIFIED: anybody may have written this. Name the --keyring of the device to know better"
            return Report(manifest_lines(manifest, source.size, manifest_hash), facts, [warning])
        verified = verify_bundle(source, trusting.policy(), trusting.when)
        return Report(bundle_lines(verified), bundle_facts(verified))


def verify(bundle: str, trusting: Trusting, step: Step) -> Report:
    """Checks every byte: signature, chain, payload, and the digest of each image."""
    with _opened(bundle) as source:
        verified = _verified(source, trusting, step)
        done = 0
        for piece in verified.payload.stream(0, verified.payload.size):
            done += len(piece)
            step("checking the payload", done, verified.payload.size)
        for image in verified.manifest.images:
            if image.filename:
                for _ in _checked(image, verified.image_file(image), step):
                    pass
        return Report([*bundle_lines(verified), "every byte is good"], {**bundle_facts(verified), "complete": True})


def extract(bundle: str, directory: str, trusting: Trusting, step: Step) -> Report:
    """Writes the files of a bundle into a new directory; nothing is left of it when a check fails."""
    target = Path(directory)
    try:
        target.mkdir(mode=0o755)
    except FileExistsError as error:
        raise BuildError(
            "extract.exists",
            "the directory exists already",
            details=directory,
            resolution="choose a directory that does not exist",
        ) from error
    written: list[str] = []
    try:
        with _opened(bundle) as source:
            verified = _verified(source, trusting, step)
            images = {image.filename: image for image in verified.manifest.images}
            for name in verified.files.listdir():
                _safe_name(name)
                written.append(name)
                _write_file(target / name, name, verified, images.get(name), step)
            facts = {**bundle_facts(verified), "directory": directory, "files": written}
    except BaseException:
        for name in written:
            with suppress(OSError):
                (target / name).unlink()
        with suppress(OSError):
            target.rmdir()
        raise
    return Report([f"{target / name}" for name in written], facts)


def _verified(source: FileSource, trusting: Trusting, step: Step) -> VerifiedBundle:
    def told(done: int) -> None:
        step("checking the payload", done, source.size)

    return verify_bundle(source, trusting.policy(), trusting.when, progress=told)


def _write_file(path: Path, name: str, verified: VerifiedBundle, image: Image | None, step: Step) -> None:
    file = verified.image_file(image) if image else verified.files.open(name)
    pieces = _checked(image, file, step) if image else file.blocks()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with os.fdopen(fd, "wb") as out:
        for piece in pieces:
            out.write(piece)
        out.flush()
        os.fsync(out.fileno())


def _checked(image: Image, file: SquashFile, step: Step) -> Iterator[bytes]:
    """Passes the content of an image on, and raises ``bundle.image-digest`` at the end if it was not the right one."""
    digest, done = hashlib.sha256(), 0
    for piece in file.blocks():
        digest.update(piece)
        done += len(piece)
        step(f"unpacking {image.filename}", done, image.size)
        yield piece
    if digest.hexdigest() != image.sha256:
        raise BundleError(
            "bundle.image-digest",
            "an image in the bundle is not the one that its manifest names",
            details=f"{image.filename} has sha256 {digest.hexdigest()}, the manifest says {image.sha256}",
            resolution="build the bundle again",
        )


def _safe_name(name: str) -> None:
    if "/" in name or name in ("", ".", "..") or not name.isprintable():
        raise BundleError(
            "bundle.squashfs-invalid", "a name in the bundle is not the name of a file", details=repr(name)
        )


@contextmanager
def _opened(path: str) -> Iterator[FileSource]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise EnvironmentFault(
            "bundle.not-found", "the bundle cannot be opened", details=str(error), retryable=False
        ) from error
    try:
        yield FileSource(fd)
    finally:
        os.close(fd)


# --- certificates and keys ---------------------------------------------------------------------------------------------


def _certificates(path: str) -> list[x509.Certificate]:
    return _loaded(path, x509.load_pem_x509_certificates, "certificate")


def _private_key(path: str) -> SigningKey:
    secret = os.environ.get("OTA_BUNDLE_PASSPHRASE")

    def load(data: bytes) -> object:
        return load_pem_private_key(data, secret.encode() if secret else None)

    key = _loaded(path, load, "private key")
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise BuildError(
            "build.key-unsupported",
            "this kind of key cannot sign bundles",
            details=f"{path}: {type(key).__name__}",
            resolution="use an RSA key or a key on P-256, P-384 or P-521",
        )
    return key


def _loaded(path: str, load: Callable[[bytes], _T], what: str) -> _T:
    try:
        with open(path, "rb") as file:
            return load(file.read(_MAX_PEM))
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BuildError(
            "build.key-unreadable",
            f"the {what} cannot be read",
            details=f"{path}: {error}"[:300],
            resolution="name a PEM file; put the passphrase of an encrypted key into OTA_BUNDLE_PASSPHRASE",
        ) from error


def _doubts(certificate: x509.Certificate, now: datetime) -> Iterator[str]:
    """What devices will, or may, refuse about the signer."""
    fault = PurposeRule("codesign").fault_of_signer(certificate)
    if fault:
        yield f"devices that check for codesign will refuse this bundle: {fault}"
    if now > certificate.not_valid_after_utc:
        yield f"the certificate has expired on {certificate.not_valid_after_utc:%Y-%m-%d}"
    elif now + _SOON > certificate.not_valid_after_utc:
        yield f"the certificate expires on {certificate.not_valid_after_utc:%Y-%m-%d}"
    if now < certificate.not_valid_before_utc:
        yield f"the certificate is not valid before {certificate.not_valid_before_utc:%Y-%m-%d}"

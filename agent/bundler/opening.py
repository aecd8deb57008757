"""Whom to believe, as given on the command line, and a bundle opened under it."""

from __future__ import annotations

import argparse
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from agent.bundle.enveloped import RecipientKey
from agent.bundle.keyring import load_keyring
from agent.bundle.manifest import Image
from agent.bundle.purpose import CheckPurpose
from agent.bundle.recipient import load_recipient_key
from agent.bundle.source import FileSource
from agent.bundle.squashfs import SquashFile
from agent.bundle.trust import TrustPolicy, check_chain
from agent.bundle.verify import VerifiedBundle, verify_bundle
from agent.bundler.keys import Signing
from agent.bundler.report import Step
from agent.errors import BundleError, EnvironmentFault


@dataclass(frozen=True, slots=True)
class Trusting:
    """Whom to believe and when."""

    keyring: str
    check_purpose: CheckPurpose
    when: datetime
    keys: tuple[RecipientKey, ...] = ()
    check_crl: bool = False
    partial_chain: bool = False
    allowed_signers: tuple[str, ...] = ()

    def policy(self) -> TrustPolicy:
        """Reads the keyring; raises ConfigError."""
        is_directory = os.path.isdir(self.keyring)
        return load_keyring(
            None if is_directory else self.keyring,
            self.check_purpose,
            directory=self.keyring if is_directory else None,
            check_crl=self.check_crl,
            allow_partial_chain=self.partial_chain,
            allowed_signer_cns=self.allowed_signers,
        )


def add_trust(
    parser: argparse.ArgumentParser,
    about: str = "trusted certificates",
    group: argparse._MutuallyExclusiveGroup | None = None,
    *,
    required: bool = False,
) -> None:
    """Adds the options that say whom to believe; ``trusting`` reads them."""
    (group or parser).add_argument(
        "--keyring", required=required, metavar="PATH", help=f"{about}: a PEM file, or a directory of 'openssl rehash'"
    )
    parser.add_argument(
        "--check-purpose",
        choices=("codesign", "smimesign", "any"),
        default="codesign",
        help="what the signer's certificate must be good for (%(default)s)",
    )
    parser.add_argument("--time", type=_time, metavar="ISO", help="check the certificates for this time (now)")
    parser.add_argument(
        "--check-crl", action="store_true", help="demand a current CRL of every authority in the keyring"
    )
    parser.add_argument("--partial-chain", action="store_true", help="trust every certificate of the keyring by itself")
    parser.add_argument(
        "--allowed-signer",
        action="append",
        default=[],
        metavar="CN",
        help="common name that the signer must have; repeatable, one of them is enough",
    )


def trusting(options: argparse.Namespace, now: datetime) -> Trusting:
    """Returns what the options of ``add_trust`` say; ``--keyring`` must be given."""
    return Trusting(
        keyring=options.keyring,
        check_purpose=options.check_purpose,
        when=options.time or now,
        keys=decryption_keys(options),
        check_crl=options.check_crl,
        partial_chain=options.partial_chain,
        allowed_signers=tuple(options.allowed_signer),
    )


def add_decryption(parser: argparse.ArgumentParser, flag: str = "--key") -> None:
    """Adds the option that names the key for encrypted bundles; ``decryption_keys`` reads it."""
    parser.add_argument(
        flag,
        dest="decryption_key",
        metavar="PEM",
        help="private key that an encrypted bundle is opened with; its passphrase is taken from OTA_BUNDLE_PASSPHRASE",
    )


def decryption_keys(options: argparse.Namespace) -> tuple[RecipientKey, ...]:
    """Reads the key that ``add_decryption`` named, if any; raises ConfigError."""
    path = getattr(options, "decryption_key", None)
    if not path:
        return ()
    secret = os.environ.get("OTA_BUNDLE_PASSPHRASE")
    return (load_recipient_key(path, passphrase=secret.encode() if secret else None, private=False),)


def verified(source: FileSource, trust: Trusting, step: Step) -> VerifiedBundle:
    """Verifies with progress; raises as ``verify_bundle``."""

    def told(done: int) -> None:
        step("checking the payload", done, source.size)

    return verify_bundle(source, trust.policy(), trust.when, keys=trust.keys, progress=told)


def check_signer(who: Signing, trust: Trusting) -> None:
    """Checks, before any work, that a device with that keyring will trust the signer.

    Raises:
        BundleError: as ``check_chain``; for a missing issuer it says how to add it.
    """
    try:
        check_chain(trust.policy(), who.signer.certificate, who.intermediates, trust.when)
    except BundleError as error:
        if error.code == "bundle.signature-untrusted":
            error.resolution = (
                f"name the certificates between the signer and {trust.keyring} with --intermediate, or another keyring"
            )
        raise


def verified_file(path: Path, trust: Trusting, step: Step) -> VerifiedBundle:
    """Verifies a bundle and reads every byte of it; the result is closed and only good for looking at."""
    with opened(str(path)) as source:
        bundle = verified(source, trust, step)
        check_all(bundle, step)
        return bundle


def checked(image: Image, file: SquashFile, step: Step) -> Iterator[bytes]:
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


def check_all(bundle: VerifiedBundle, step: Step) -> None:
    """Reads every byte of the payload and of each image; raises BundleError at the first that is wrong."""
    done = 0
    for piece in bundle.payload.stream(0, bundle.payload.size):
        done += len(piece)
        step("checking the payload", done, bundle.payload.size)
    for image in bundle.manifest.images:
        if image.filename:
            for _ in checked(image, bundle.image_file(image), step):
                pass


@contextmanager
def open_file(path: str) -> Iterator[tuple[FileSource, int]]:
    """The bundle as a Source, and its descriptor; raises EnvironmentFault ``bundle.not-found``."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise EnvironmentFault(
            "bundle.not-found", "the bundle cannot be opened", details=str(error), retryable=False
        ) from error
    try:
        yield FileSource(fd), fd
    finally:
        os.close(fd)


@contextmanager
def opened(path: str) -> Iterator[FileSource]:
    """The bundle as a Source; raises as ``open_file``."""
    with open_file(path) as (source, _):
        yield source


def _time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

"""Who signs, as named on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from agent.bundle.certificates import name_of
from agent.bundle.purpose import PurposeRule
from agent.bundle.strength import check_certificate
from agent.bundler import key_pkcs11
from agent.bundler.faults import BuildError
from agent.bundler.key_command import DEFAULT_TIMEOUT, CommandSigner
from agent.bundler.key_pem import PemSigner, load_private_key
from agent.bundler.key_pkcs11 import Pkcs11Signer
from agent.bundler.pkcs11_uri import is_uri, parse_uri
from agent.bundler.signer import DIGESTS, HashName, Signer

_SOON = timedelta(days=30)  # RAUC warns in the same time before a certificate ends
_MAX_PEM = 1024 * 1024  # bytes


@dataclass(frozen=True, slots=True)
class Signing:
    """A signer, the certificates that go along, and the digest."""

    signer: Signer
    intermediates: Sequence[x509.Certificate]
    hash_name: HashName


def add_signing(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say who signs; ``signing`` reads them."""
    found = parser.add_argument_group("who signs")
    found.add_argument(
        "--cert", required=True, metavar="PEM|URI", help="certificate of the signer, then any others that issued it"
    )
    key = found.add_mutually_exclusive_group(required=True)
    key.add_argument("--key", metavar="PEM|URI", help="private key of the signer: a file or a PKCS#11 URI")
    key.add_argument(
        "--sign-command", metavar="COMMAND", help="signs its standard input; 'ota-bundle create --help' tells how"
    )
    found.add_argument(
        "--sign-timeout",
        type=float,
        default=DEFAULT_TIMEOUT,
        metavar="SECONDS",
        help="of the signing command (%(default)g)",
    )
    found.add_argument(
        "--passphrase-file", metavar="FILE", default="", help="holds the passphrase of an encrypted --key"
    )
    found.add_argument(
        "--intermediate", action="append", default=[], metavar="PEM", help="certificates of authorities; repeatable"
    )
    found.add_argument("--digest", choices=DIGESTS, default="sha256", help="of the signature (%(default)s)")


def signing(options: argparse.Namespace) -> Signing:
    """Returns what the options of ``add_signing`` say.

    Raises:
        BuildError: ``build.key-unreadable``, ``build.key-unsupported``, ``build.key-mismatch``, ``sign.uri-invalid``,
            ``sign.pkcs11-failed``, ``sign.pkcs11-missing``.
        BundleError: ``bundle.signature-weak``, ``bundle.signature-unsupported`` for keys that devices refuse.
    """
    if is_uri(options.cert):
        certificate, further = key_pkcs11.load_certificate(parse_uri(options.cert)), []
    else:
        certificate, *further = certificates(options.cert)
    check_certificate(certificate, is_anchor=True)
    for path in options.intermediate:
        further += certificates(path)
    return Signing(_signer(options, certificate), further, options.digest)


def certificates(path: str) -> list[x509.Certificate]:
    """Reads a PEM file of certificates; raises BuildError ``build.key-unreadable``."""
    try:
        with open(path, "rb") as file:
            return x509.load_pem_x509_certificates(file.read(_MAX_PEM))
    except (OSError, ValueError) as error:
        raise BuildError(
            "build.key-unreadable",
            "the certificate cannot be read",
            details=f"{path}: {error}"[:300],
            resolution="name a PEM file with one certificate or more",
        ) from error


def doubts(who: Signing, now: datetime) -> Iterator[str]:
    """Yields what devices will, or may, refuse about the signer."""
    certificate = who.signer.certificate
    fault = PurposeRule("codesign").fault_of_signer(certificate)
    if fault:
        yield f"devices that check for codesign will refuse this bundle: {fault}"
    for each in (certificate, *who.intermediates):
        yield from _doubts_about_time(each, "the certificate" if each == certificate else name_of(each), now)
    if who.intermediates and not any(_issued(certificate, each) for each in who.intermediates):
        yield (
            f"none of the intermediates issued the certificate of the signer: devices need that of "
            f"{certificate.issuer.rfc4514_string()[:200]} in their keyring"
        )


def _doubts_about_time(certificate: x509.Certificate, what: str, now: datetime) -> Iterator[str]:
    if now > certificate.not_valid_after_utc:
        yield f"{what} has expired on {certificate.not_valid_after_utc:%Y-%m-%d}"
    elif now + _SOON > certificate.not_valid_after_utc:
        yield f"{what} expires on {certificate.not_valid_after_utc:%Y-%m-%d}"
    if now < certificate.not_valid_before_utc:
        yield f"{what} is not valid before {certificate.not_valid_before_utc:%Y-%m-%d}"


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _signer(options: argparse.Namespace, certificate: x509.Certificate) -> Signer:
    if options.sign_command is not None:
        return CommandSigner(certificate, options.sign_command, options.sign_timeout)
    if is_uri(options.key):
        return Pkcs11Signer(certificate, parse_uri(options.key))
    return PemSigner(certificate, load_private_key(options.key, options.passphrase_file))
